"""nginx of the laboratory: the TLS server that gets certificates by the reload hook."""

import atexit
import os
import signal
from pathlib import Path


class Nginx:
    """nginx as the TLS server of one machine; started by the reload hook once files are there."""

    def __init__(self, server, port=10443):
        self.server, self.port = server, port
        self.directory = server.root / "nginx"
        self.directory.mkdir(parents=True, exist_ok=True)
        atexit.register(self.stop)
        pem = server.data / "keyfile"
        (self.directory / "nginx.conf").write_text(f"""
worker_processes 1;
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {self.directory}/body; proxy_temp_path {self.directory}/proxy;
    fastcgi_temp_path {self.directory}/fastcgi; uwsgi_temp_path {self.directory}/uwsgi;
    scgi_temp_path {self.directory}/scgi;
    server {{
        listen {server.address}:{port} ssl;
        ssl_certificate {pem}/fullchain.pem;
        ssl_certificate_key {pem}/privkey.pem;
        location / {{ return 200 "{server.name}\\n"; }}
    }}
}}
""")
        self.reload_script = self.directory / "reload"
        conf = self.directory / "nginx.conf"
        self.reload_script.write_text(f"""#!/bin/sh
# Reloads nginx, or starts it when this is the first certificate.
pid=$(cat {self.directory}/nginx.pid 2>/dev/null)
if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
    exec /usr/sbin/nginx -c {conf} -e {self.directory}/error.log -s reload
fi
/usr/sbin/nginx -c {conf} -e {self.directory}/error.log || exit
# What was started returns before its pid is written, and the next reload is to find it.
while ! [ -s {self.directory}/nginx.pid ]; do sleep 0.05; done
""")
        self.reload_script.chmod(0o755)
        server.target(reload=self.reload_script,
                      test=f"/usr/sbin/nginx -t -q -c {conf} -e {self.directory}/error.log",
                      check=f"{server.address}:{port}")

    def pid(self):
        """Our nginx, or None: a number left in the file may be another program's by now."""
        try:
            pid = int((self.directory / "nginx.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except (OSError, ValueError):
            return None
        return pid if words.startswith("nginx: master") and str(self.directory) in words else None

    def stop(self):
        pid = self.pid()
        if pid is not None:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
