"""Which sockets are readable: by epoll on Linux, and by the selectors of Python on other systems."""
