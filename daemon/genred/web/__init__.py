"""HTTP beside the radio: an API, live events, metrics and a page. Imported only when enabled."""
