"""A slow link: forwards TCP connections that nftables redirects here, late and little at a time.

    slow_proxy.py LISTEN_PORT TARGET TARGET_PORT DELAY_SECONDS BYTES_PER_SECOND

Its own connections carry the mark 7, which the redirect rule leaves alone.
"""

import asyncio
import socket
import sys

SO_MARK = 36
MARK = 7


async def pump(reader, writer, delay, rate):
    """Every piece arrives `delay` late, and the pieces no faster than `rate`."""
    queue = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def late():
        while (entry := await queue.get()) is not None:
            due, data = entry
            await asyncio.sleep(max(0.0, due - loop.time()))
            writer.write(data)
            await writer.drain()
        writer.close()

    task = asyncio.create_task(late())
    try:
        while data := await reader.read(max(64, int(rate / 10))):
            await queue.put((loop.time() + delay, data))
            await asyncio.sleep(len(data) / rate)
    except OSError:
        pass
    await queue.put(None)
    try:
        await task
    except OSError:
        pass


async def main(port, target, target_port, delay, rate):
    loop = asyncio.get_running_loop()

    async def serve(reader, writer):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
        sock.setblocking(False)
        try:
            await asyncio.wait_for(loop.sock_connect(sock, (target, target_port)), 10)
        except (OSError, asyncio.TimeoutError):
            sock.close()
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(sock=sock)
        await asyncio.gather(pump(reader, far_writer, delay, rate),
                             pump(far_reader, writer, delay, rate))

    server = await asyncio.start_server(serve, "0.0.0.0", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]),
                     float(sys.argv[5])))
