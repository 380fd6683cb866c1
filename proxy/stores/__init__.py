"""Where entries are kept. Each store satisfies core's `Store` port."""
