"""The database of a CouchDB 3.x cluster as a model in memory: three nodes, two ranges of documents, a
copy of each range on each node. The revision trees are one; what differs between the copies is what
a client sees of that: sequences.

From CouchDB's source (3.x): a sequence is the sum of its copies' numbers, a dash, and the base64 of
an Erlang term that names node, range, number and uuid of one copy for each range
(fabric_view_changes:pack_seqs); the sum is thrown away when it comes back. Every copy counts for
itself, in the order in which it wrote. A copy that is gone is replaced by another: from the last
checkpoint between the two, or from 0 (find_replacements; apache/couchdb #3788, #3885, #3792).
"""

import base64
import random
import re
import struct
import zlib

NODES = ("couchdb@node1.example", "couchdb@node2.example", "couchdb@node3.example")
RANGES = ((0, 0x7FFFFFFF), (0x80000000, 0xFFFFFFFF))
REVS_LIMIT = 1000


class Malformed(Exception):
    """Not a sequence that this database has given out."""


# -- Erlang's external term format ---------------------------------------------------------------


def _term(value):
    if isinstance(value, bool) or value is None:
        raise TypeError(value)
    if isinstance(value, int):
        if value < 256:
            return bytes([97, value])
        if value < 1 << 31:
            return b"\x62" + struct.pack(">i", value)
        return b"\x6e" + bytes([4, 0]) + struct.pack("<I", value)
    if isinstance(value, str):  # an atom
        return b"\x64" + struct.pack(">H", len(value)) + value.encode()
    if isinstance(value, bytes):
        return b"\x6d" + struct.pack(">I", len(value)) + value
    if isinstance(value, tuple):
        return b"\x68" + bytes([len(value)]) + b"".join(map(_term, value))
    return b"\x6c" + struct.pack(">I", len(value)) + b"".join(map(_term, value)) + b"\x6a"


def opaque(value):
    """base64url(term_to_binary(Value, [compressed])) without padding: "g1AAAA…"."""
    plain = _term(value)
    packed = b"\x83\x50" + struct.pack(">I", len(plain)) + zlib.compress(plain)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


# -- revision trees ------------------------------------------------------------------------------


class Tree:
    """The revisions of one document: {(generation, id): [parent, deleted, body]}."""

    def __init__(self):
        self.nodes = {}

    def merge(self, start, ids, deleted, body):
        """True when the newest revision of the path is a new one."""
        path = [(start - i, text) for i, text in enumerate(ids) if start - i > 0]
        new = path[0] not in self.nodes
        for i, rev in enumerate(path):
            self.nodes.setdefault(rev, [None, False, None])
            if i > 0 and self.nodes[path[i - 1]][0] is None:
                self.nodes[path[i - 1]][0] = rev
        if self.nodes[path[0]][2] is None:
            self.nodes[path[0]][1:] = [deleted, body]
        kept = {rev for leaf in self.leaves() for rev in self.path(leaf)}
        self.nodes = {rev: node for rev, node in self.nodes.items() if rev in kept}
        for node in self.nodes.values():
            node[0] = node[0] if node[0] in kept else None
        return new

    def path(self, rev):
        out = []
        while rev is not None and len(out) < REVS_LIMIT:
            out.append(rev)
            rev = self.nodes[rev][0] if rev in self.nodes else None
        return out

    def leaves(self):
        """The winner first."""
        parents = {node[0] for node in self.nodes.values()}
        return sorted((rev for rev in self.nodes if rev not in parents), reverse=True,
                      key=lambda rev: (not self.nodes[rev][1], rev))

    def below(self, rev):
        """Leaves at or below a revision, as latest=true wants them."""
        return [leaf for leaf in self.leaves() if rev in self.path(leaf)]

    def document(self, doc_id, rev, revs=True):
        _, deleted, body = self.nodes[rev]
        doc = {"_id": doc_id, "_rev": f"{rev[0]}-{rev[1]}", **(body or {})}
        if deleted:
            doc["_deleted"] = True
        if revs:
            doc["_revisions"] = {"start": rev[0], "ids": [r[1] for r in self.path(rev)]}
        return doc


def parse_rev(text):
    generation, _, name = text.partition("-")
    if not generation.isdigit() or not name:
        raise ValueError(text)
    return int(generation), name


# -- the database --------------------------------------------------------------------------------


class Copy:
    """A range of documents on one node, with a counter of its own."""

    def __init__(self, node, span, chance):
        self.node, self.span, self.chance = node, span, chance
        self.uuid = f"{chance.getrandbits(28):07x}"
        self.seq, self.at = 0, {}

    def write(self, ids):
        ids = list(ids)
        self.chance.shuffle(ids)  # each writes what comes in one request in its own order
        for doc_id in ids:
            self.seq += 1
            self.at[doc_id] = self.seq


class Database:
    def __init__(self, seed=3):
        self.chance = random.Random(seed)
        self.trees, self.local = {}, {}
        self.copies = {(node, span): Copy(node, span, self.chance)
                       for node in NODES for span in RANGES}
        self.down = set()        # nodes
        self.given = {}          # opaque part -> {range: (node, uuid, seq)}
        self.checkpoints = []    # (uuid, seq, other uuid, its seq) of internal replication
        self.rewound = []        # (number asked for, number gone on from) of lost copies
        self.null_seqs = False   # as with seq_interval: most rows have none

    @staticmethod
    def span_of(doc_id):
        crc = zlib.crc32(doc_id.encode())
        return next(span for span in RANGES if span[0] <= crc <= span[1])

    # -- writing --

    def put(self, docs):
        """Replicated revisions; what is new gets a sequence in every copy, also on nodes that are
        down (they catch up before anybody asks them)."""
        changed = set()
        for doc in docs:
            start, name = parse_rev(doc["_rev"])
            path = doc.get("_revisions") or {"start": start, "ids": [name]}
            body = {key: value for key, value in doc.items() if not key.startswith("_")}
            tree = self.trees.setdefault(doc["_id"], Tree())
            if tree.merge(path["start"], path["ids"], bool(doc.get("_deleted")), body):
                changed.add(doc["_id"])
        for copy in self.copies.values():
            copy.write(sorted(i for i in changed if self.span_of(i) == copy.span))
        return changed

    def replicate_inside(self):
        """The copies tell each other how far they are."""
        self.checkpoints += [(a.uuid, a.seq, b.uuid, b.seq) for a in self.copies.values()
                             for b in self.copies.values() if a is not b and a.span == b.span]

    def lose(self, node, span):
        """The copy's file is gone: it is built anew from the others, in another order."""
        copy = self.copies[node, span] = Copy(node, span, self.chance)
        copy.write(sorted(i for i in self.trees if self.span_of(i) == span))

    # -- sequences --

    def pack(self, counters):
        items = list(counters.items())
        self.chance.shuffle(items)  # the same place has many texts
        term = [(node, list(span), (seq, uuid.encode(), node))
                for span, (node, uuid, seq) in items]
        text = opaque(term)
        self.given[text] = dict(counters)
        return f"{sum(seq for _, _, seq in counters.values())}-{text}"

    def unpack(self, text):
        """{range: (copy, seq)} to go on from."""
        if text == "0":
            named = {}
        elif text == "now":
            named = {c.span: (c.node, c.uuid, c.seq) for c in self._live_copies()}
        else:
            named = self.given.get(re.sub(r"^[0-9]+-", "", text.strip('"')))
            if named is None:
                raise Malformed(text)
        return {span: self._go_on(span, named.get(span)) for span in RANGES}

    def _live_copies(self):
        return [copy for copy in self.copies.values() if copy.node not in self.down]

    def _go_on(self, span, named):
        live = [copy for copy in self._live_copies() if copy.span == span]
        if not named:
            return self.chance.choice(live), 0
        node, uuid, seq = named
        copy = self.copies[node, span]
        if copy in live and copy.uuid == uuid:
            return copy, seq
        other = self.chance.choice(live)
        found = [there for a, here, b, there in self.checkpoints
                 if a == uuid and b == other.uuid and here <= seq]
        self.rewound.append((seq, max(found, default=0)))
        return other, self.rewound[-1][1]

    def update_seq(self):
        chosen = {span: self.chance.choice([c for c in self._live_copies() if c.span == span])
                  for span in RANGES}
        return self.pack({span: (c.node, c.uuid, c.seq) for span, c in chosen.items()})

    # -- the feed --

    def changes(self, since, limit):
        """(rows, last_seq, pending). The ranges' rows come in no order among each other."""
        start = self.unpack(since)
        unsent = {span: sorted((at, doc_id) for doc_id, at in copy.at.items() if at > seq)
                for span, (copy, seq) in start.items()}
        counters = {span: (copy.node, copy.uuid, seq) for span, (copy, seq) in start.items()}
        rows = []
        while len(rows) < limit and any(unsent.values()):
            span = self.chance.choice([span for span in RANGES if unsent[span]])
            at, doc_id = unsent[span].pop(0)
            counters[span] = (*counters[span][:2], at)
            seq = None if self.null_seqs and len(rows) % 3 else self.pack(counters)
            rows.append(self._row(doc_id, seq))
        return rows, self.pack(counters), sum(map(len, unsent.values()))

    def _row(self, doc_id, seq):
        tree = self.trees[doc_id]
        leaves = tree.leaves()
        row = {"seq": seq, "id": doc_id, "changes": [{"rev": f"{g}-{name}"} for g, name in leaves]}
        if tree.nodes[leaves[0]][1]:
            row["deleted"] = True
        return row
