/* DER as a tree that tests take apart, change and put together again. */
#pragma once

#include "support.h"

#define CHILDREN_MAX 256

enum form { DER, LONG_LENGTH, INDEFINITE };

struct node {
    uint8_t tag;
    enum form form;
    uint8_t *data; /* of a primitive element */
    size_t len;
    struct node *child[CHILDREN_MAX];
    size_t count;
};

static inline struct node *prim(uint8_t tag, const void *data, size_t len)
{
    struct node *n = cm_calloc(1, sizeof(*n));
    n->tag = tag;
    n->data = cm_memdup(len ? data : "", len ? len : 1);
    n->len = len;
    return n;
}

static inline struct node *cons(uint8_t tag, struct node *a, struct node *b)
{
    struct node *n = cm_calloc(1, sizeof(*n));
    n->tag = tag;
    if (a)
        n->child[n->count++] = a;
    if (b)
        n->child[n->count++] = b;
    return n;
}

static inline void node_free(struct node *n)
{
    for (size_t i = 0; i < n->count; i++)
        node_free(n->child[i]);
    cm_free(n->data);
    cm_free(n);
}

static inline struct node *copy(const struct node *n)
{
    struct node *c = n->data ? prim(n->tag, n->data, n->len) : cons(n->tag, NULL, NULL);
    for (size_t i = 0; i < n->count; i++)
        c->child[c->count++] = copy(n->child[i]);
    return c;
}

static inline struct node *parse(const uint8_t **at)
{
    uint8_t tag = *(*at)++;
    size_t len = *(*at)++;
    if (len >= 0x80) {
        size_t octets = len & 0x7f;
        for (len = 0; octets > 0; octets--)
            len = len << 8 | *(*at)++;
    }
    if (!(tag & 0x20)) {
        *at += len;
        return prim(tag, *at - len, len);
    }
    struct node *n = cons(tag, NULL, NULL);
    for (const uint8_t *end = *at + len; *at < end;)
        n->child[n->count++] = parse(at);
    return n;
}

static inline void encode(const struct node *n, struct cm_buf *out)
{
    struct cm_buf content;
    cm_buf_init(&content, 2u << 20);
    if (n->data)
        cm_buf_add(&content, n->data, n->len);
    for (size_t i = 0; i < n->count; i++)
        encode(n->child[i], &content);
    size_t len = content.len;
    cm_buf_putc(out, (char)n->tag);
    if (n->form == INDEFINITE) {
        cm_buf_putc(out, (char)0x80);
    } else if (n->form == LONG_LENGTH) {
        const char octets[] = {(char)0x84, 0, (char)(len >> 16), (char)(len >> 8), (char)len};
        cm_buf_add(out, octets, sizeof(octets));
    } else if (len < 0x80) {
        cm_buf_putc(out, (char)len);
    } else {
        size_t octets = len > 0xffff ? 3 : len > 0xff ? 2 : 1;
        cm_buf_putc(out, (char)(0x80 | octets));
        while (octets-- > 0)
            cm_buf_putc(out, (char)(len >> (8 * octets)));
    }
    cm_buf_add(out, cm_buf_str(&content), len);
    if (n->form == INDEFINITE)
        cm_buf_add(out, "\0\0", 2);
    cm_buf_fini(&content);
}

static inline void replace(struct node **at, struct node *with)
{
    node_free(*at);
    *at = with;
}
static inline void set_data(struct node *n, const void *data, size_t len)
{
    cm_free(n->data);
    n->data = cm_memdup(data, len);
    n->len = len;
}
static inline void resize(struct node *n, size_t len)
{
    uint8_t *data = cm_calloc(1, len + 1);
    memcpy(data, n->data, len < n->len ? len : n->len);
    cm_free(n->data);
    n->data = data;
    n->len = len;
}
static inline void append(struct node *n, struct node *child)
{
    n->child[n->count++] = child;
}
static inline void insert(struct node *n, size_t at, struct node *child)
{
    memmove(&n->child[at + 1], &n->child[at], (n->count - at) * sizeof(child));
    n->child[at] = child;
    n->count++;
}
static inline void drop(struct node *n, size_t at)
{
    node_free(n->child[at]);
    memmove(&n->child[at], &n->child[at + 1], (n->count - at - 1) * sizeof(n));
    n->count--;
}
/* Gives an element other content, octet by octet. */
#define OID(n, ...) set_data(n, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))
