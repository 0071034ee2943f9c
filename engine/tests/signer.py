"""A heartbeat that is signed, from docs/PROTOCOL.md alone: signer.py HOST PORT KEYFILE NODE SEQ"""
import hashlib, hmac, socket, struct, sys, time

MASK = (1 << 64) - 1


def rotate(word, bits):
    return (word << bits | word >> (64 - bits)) & MASK


def rounds(v, count):
    for _ in range(count):
        v[0] = (v[0] + v[1]) & MASK; v[1] = rotate(v[1], 13) ^ v[0]; v[0] = rotate(v[0], 32)
        v[2] = (v[2] + v[3]) & MASK; v[3] = rotate(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & MASK; v[3] = rotate(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & MASK; v[1] = rotate(v[1], 17) ^ v[2]; v[2] = rotate(v[2], 32)


def siphash(key, data):
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word; rounds(v, 2); v[0] ^= word
    v[2] ^= 0xEE; rounds(v, 4)
    low = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD; rounds(v, 4)
    return struct.pack("<QQ", low, v[0] ^ v[1] ^ v[2] ^ v[3])


def sha256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def main(host, port, key_file, node, seq):
    mac, words = {"siphash": siphash, "hmac": sha256}, open(key_file).read().split()
    says, name, now = dict(word.split("=") for word in words[1:]), node.encode(), int(time.time() * 1000)
    mac, key, node_id = mac[says["suite"]], bytes.fromhex(says["key"]), hashlib.sha256(name).digest()[:16]
    if words[0] == "systole-master-key":
        key = mac(key, b"systole nodekey" + {"siphash": b"1", "hmac": b"2"}[says["suite"]] + node_id)
    rest = struct.pack("<16sQQQI", node_id, 1, int(seq), now, 1000) + struct.pack("<BB", 1, len(name)) + name
    said = struct.pack("<BBBBHH", 0xF5, 1, 1, int(says["id"]), 8 + len(rest) + 16, 0) + rest
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(said + mac(key, said)[:16], (host, int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
