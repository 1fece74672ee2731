-- For sessions on which a transaction waits for somebody: no timeout of the server's ends a COPY that waits for its
-- client. By these signs of life it learns within 40 seconds that the client's machine is gone, and takes back what was
-- begun, with the keys and locks that it holds. Over a socket of the same machine they mean nothing, and aren't needed.
SET tcp_keepalives_idle = '10s';
SET tcp_keepalives_interval = '10s';
SET tcp_keepalives_count = 3;
