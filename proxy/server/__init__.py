"""The caller's side: sockets, HTTP/1.1 in and out, and the life of the process."""
