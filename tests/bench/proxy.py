"""A CA that is far away: passes bytes on, those towards the client only after a while.

Works below TLS, so it sees nothing and costs little. python3 proxy.py PORT UPSTREAM_PORT MS
"""

import asyncio
import sys


async def pump(reader, writer, delay):
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(65536):
            if delay:
                loop.call_later(delay, give, writer, data)
            else:
                writer.write(data)
    except OSError:
        pass
    loop.call_later(delay, writer.close)


def give(writer, data):
    if not writer.is_closing():
        writer.write(data)


async def serve(port, upstream_port, delay):
    async def on_client(reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, up_writer, 0), pump(up_reader, writer, delay))

    server = await asyncio.start_server(on_client, "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) / 1000))
