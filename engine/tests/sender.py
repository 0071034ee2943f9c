"""A heartbeat sender from docs/PROTOCOL.md alone: sender.py HOST PORT NODE COUNT EVERY_SECONDS [--bye]"""
import hashlib, os, random, socket, struct, sys, time


def field(kind, value):
    return struct.pack("<BB", kind, len(value)) + value


def message(kind, name, incarnation, seq, every, fields=b""):
    sent, node = int(time.time() * 1000), hashlib.sha256(name).digest()[:16]
    rest = struct.pack("<16sQQQI", node, incarnation, seq, sent, round(every * 1000)) + fields
    return struct.pack("<BBBBHH", 0xF5, 1, kind, 0, 8 + len(rest), 0) + rest


def main(host, port, node, count, every, bye=None):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    to, name, every, incarnation = (host, int(port)), node.encode(), float(every), int(time.time() * 1000)
    for seq in range(1, int(count) + 1):
        fields = field(1, name) if seq <= 3 or seq % 16 == 0 else b""
        fields += field(2, b"python") + field(3, struct.pack("<f", os.getloadavg()[0] / (os.cpu_count() or 1)))
        fields += field(4, b"1.0") + field(6, b"\x03pid" + struct.pack("<d", os.getpid())) + field(7, b"\x04langpython")
        udp.sendto(message(1, name, incarnation, seq, every, fields), to)
        time.sleep(every * random.uniform(0.95, 1.05))
    if bye == "--bye":
        udp.sendto(message(2, name, incarnation, int(count) + 1, every), to)


main(*sys.argv[1:])
