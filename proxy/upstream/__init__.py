"""The way out: connections, attempts, and what their failures mean."""
