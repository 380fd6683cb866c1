"""What is told about requests: each a reader of the Exchange, a core.ports.Observer.

metrics    counts and times for Prometheus; the one file that names every series
logs       one line a request, and everything else that is said, through one sink
redaction  the filter at that sink: secrets by name and by value, control characters
sampling   at most so many equal warnings in an interval
recent     the last requests, for the dashboard and /api/v1/requests
together   several observers as one, none of which can fail a request
"""
