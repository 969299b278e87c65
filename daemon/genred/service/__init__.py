"""What a service manager is told: ready, reloading, stopping, what is heard, and still alive."""
