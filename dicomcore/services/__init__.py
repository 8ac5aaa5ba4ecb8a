"""Services (PS3.4): one module a service class, user and provider side by side, without sockets, threads or clocks."""
