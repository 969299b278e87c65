"""Real counterparts that tests run against, and a model that they can steer."""
