"""GStreamer's RTSP server on a loopback port, which it prints; run by the system's Python, which has its bindings.

/usr/bin/python3 rtsp_server.py FILM.mp4     # rtsp://127.0.0.1:PORT/line, the film at its own speed, then its end
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def main() -> None:
    Gst.init(None)
    if len(sys.argv) < 2:
        return
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( filesrc location={sys.argv[1]} ! qtdemux ! rtph264pay name=pay0 pt=96 config-interval=1 )")
    server.get_mount_points().add_factory("/line", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
