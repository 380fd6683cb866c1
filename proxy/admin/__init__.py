"""What the operator sees and turns: metrics, health, status, purge, drain, and the dashboard page.

api        the endpoints
guard      who may ask: our own Host and Origin only, as the port is not for the web
status     the figures of the dashboard, from metrics and the last requests
stored     what is asked about the cache, and how what it keeps is shown
dashboard  one page (.html, .css, .js), served from here, with nothing from elsewhere
"""
