/*
 * A scripted DNS server for unit tests: one thread, several loopback addresses with the same port,
 * UDP and TCP, answers from a table.  What no rule names is NODATA when the name has other rules,
 * else NXDOMAIN.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_ADDRESSES 4
#define FAKE_LINES     24
#define FAKE_SILENT    100 /* as rcode: no answer */
#define FAKE_CUT       101 /* truncated over UDP, whole over TCP */
#define FAKE_WRONG_ID  102
#define FAKE_GARBAGE   103
#define FAKE_ANSWER    70000 /* room for an answer */

/* "owner TYPE data": A, AAAA address; NS, CNAME, DNAME target; SOA mname; TXT text; CAA flags tag
 * value.  Owner "@" is the name that was asked; the target "^name" has its labels left of the
 * rule's
 * "*." in front of name, as a DNAME makes it. */
struct fake_rule {
    const char *name; /* "*.name": all names below it that no other rule knows */
    int type;
    int rcode;
    const char *answer[FAKE_LINES];
    const char *authority; /* a SOA line, or NULL */
    int at;                /* 1 + index of the address this rule is for; 0 = all */
    int after;             /* counts from the question with this number on (1 = second) */
};

struct fake_dns {
    const struct fake_rule *rules; /* later ones win; ends with a NULL name */
    int port;
    int udp[FAKE_ADDRESSES], tcp[FAKE_ADDRESSES];
    char base[16]; /* "127.0.22.10": addresses .10, .11, … */
    pthread_t thread;
    atomic_bool stop;
    atomic_int questions, over_tcp;
    int asked[64]; /* per rule; of the thread */
};

static inline size_t fake_name(unsigned char *out, const char *name)
{
    size_t at = 0;
    while (*name) {
        size_t len = strcspn(name, ".");
        out[at++] = (unsigned char)len;
        memcpy(out + at, name, len);
        at += len;
        name += len + (name[len] == '.');
    }
    out[at++] = 0;
    return at;
}

static inline size_t fake_u16(unsigned char *out, unsigned value)
{
    out[0] = (unsigned char)(value >> 8);
    out[1] = (unsigned char)value;
    return 2;
}

static inline size_t fake_data(unsigned char *out, const char *type, const char *data, int *number)
{
    size_t len = strlen(data), at = 0;
    if (strcmp(type, "A") == 0 || strcmp(type, "AAAA") == 0) {
        *number = type[1] ? 28 : 1;
        inet_pton(type[1] ? AF_INET6 : AF_INET, data, out);
        return type[1] ? 16 : 4;
    }
    if (strcmp(type, "TXT") == 0) { /* "|" begins another character-string */
        *number = 16;
        for (const char *p = data; p;) {
            size_t n = strcspn(p, "|");
            out[at++] = (unsigned char)n;
            memcpy(out + at, p, n);
            at += n;
            p = p[n] ? p + n + 1 : NULL;
        }
        return at;
    }
    if (strcmp(type, "CAA") == 0) {
        char *rest, *space;
        *number = 257;
        out[0] = (unsigned char)strtol(data, &rest, 10);
        space = strchr(++rest, ' ');
        out[1] = (unsigned char)(space - rest);
        memcpy(out + 2, rest, out[1]);
        len = strlen(space + 1);
        memcpy(out + 2 + out[1], space + 1, len);
        return 2u + out[1] + len;
    }
    *number = strcmp(type, "NS") == 0      ? 2
              : strcmp(type, "CNAME") == 0 ? 5
              : strcmp(type, "DNAME") == 0 ? 39
                                           : 6;
    at = fake_name(out, data);
    if (*number == 6) {
        at += fake_name(out + at, "hostmaster.invalid");
        memset(out + at, 0, 20);
        out[at + 3] = 7;   /* serial */
        out[at + 19] = 30; /* seconds that "no" may be kept */
        at += 20;
    }
    return at;
}

/* The length of what stands left of the rule's "*."; 0 = the rule is not for names below its own.
 */
static inline size_t fake_below(const struct fake_rule *rule, const char *name)
{
    size_t len = strlen(name), base = rule->name[0] == '*' ? strlen(rule->name) - 1 : len;
    return base < len && strcasecmp(name + len - base, rule->name + 1) == 0 ? len - base : 0;
}

static inline size_t fake_line(unsigned char *out, const char *line, const char *asked,
                               size_t below)
{
    char owner[300], type[8], made[600];
    const char *p = line;
    int number = 0;
    size_t n = strcspn(p, " ");
    snprintf(owner, sizeof(owner), "%.*s", (int)n, p);
    p += n + 1;
    n = strcspn(p, " ");
    snprintf(type, sizeof(type), "%.*s", (int)n, p);
    p += n + 1;
    if (*p == '^') {
        snprintf(made, sizeof(made), "%.*s.%s", (int)below, asked, p + 1);
        p = made;
    }
    size_t at = fake_name(out, strcmp(owner, ".") == 0   ? ""
                               : strcmp(owner, "@") == 0 ? asked
                                                         : owner);
    size_t len = fake_data(out + at + 10, type, p, &number);
    fake_u16(out + at, (unsigned)number);
    fake_u16(out + at + 2, 1);
    memcpy(out + at + 4, "\0\0\0\x3c", 4); /* 60 s */
    fake_u16(out + at + 8, (unsigned)len);
    return at + 10 + len;
}

static inline size_t fake_question(const unsigned char *msg, size_t len, char *name, int *type)
{
    size_t at = 12, out = 0;
    while (at < len && msg[at]) {
        if (out > 0)
            name[out++] = '.';
        memcpy(name + out, msg + at + 1, msg[at]);
        out += msg[at];
        at += 1u + msg[at];
    }
    name[out] = '\0';
    *type = msg[at + 1] << 8 | msg[at + 2];
    return at + 5;
}

static inline const struct fake_rule *fake_find(struct fake_dns *fake, int address,
                                                const char *name, int type, int *known)
{
    const struct fake_rule *found = NULL;
    int exact = 0;
    for (int i = 0; fake->rules[i].name; i++)
        exact = exact || strcasecmp(fake->rules[i].name, name) == 0;
    for (int i = 0; fake->rules[i].name; i++) {
        const struct fake_rule *rule = &fake->rules[i];
        if (strcasecmp(rule->name, name) != 0 && (exact || fake_below(rule, name) == 0))
            continue;
        *known = 1;
        if (rule->type == type && (rule->at == 0 || rule->at == address + 1) &&
            fake->asked[i]++ >= rule->after)
            found = rule;
    }
    return found;
}

/* The answer into out (64 KiB); 0 = silence. */
static inline size_t fake_answer(struct fake_dns *fake, int address, int tcp,
                                 const unsigned char *msg, size_t len, unsigned char *out)
{
    char name[300];
    int type, known = 0;
    unsigned lines = 0;
    size_t at = fake_question(msg, len, name, &type);
    const struct fake_rule *rule = fake_find(fake, address, name, type, &known);
    int rcode = rule ? rule->rcode : known ? 0 : 3;
    fake->questions++;
    fake->over_tcp += tcp;
    memcpy(out, msg, at);
    out[2] = 0x85;
    out[3] = (unsigned char)(0x80 | (rcode < 16 ? rcode : 0));
    memset(out + 6, 0, 6);
    if (rcode == FAKE_SILENT)
        return 0;
    if (rcode == FAKE_WRONG_ID)
        out[0] ^= 0xff;
    if (rcode == FAKE_CUT && !tcp) {
        out[2] |= 0x02;
        return at;
    }
    for (; rule && lines < FAKE_LINES && rule->answer[lines]; lines++)
        at += fake_line(out + at, rule->answer[lines], name, fake_below(rule, name));
    fake_u16(out + 6, rcode == FAKE_GARBAGE ? 9 : lines);
    if (rule && rule->authority) {
        at += fake_line(out + at, rule->authority, name, 0);
        fake_u16(out + 8, 1);
    }
    return at;
}

static inline void fake_serve_tcp(struct fake_dns *fake, int address, unsigned char *out)
{
    unsigned char msg[2048];
    int fd = accept(fake->tcp[address], NULL, NULL);
    ssize_t n = recv(fd, msg, 2, MSG_WAITALL);
    if (n == 2)
        n = recv(fd, msg, (size_t)msg[0] << 8 | msg[1], MSG_WAITALL);
    if (n > 16) {
        size_t len = fake_answer(fake, address, 1, msg, (size_t)n, out + 2);
        fake_u16(out, (unsigned)len);
        if (len > 0)
            (void)!write(fd, out, len + 2);
    }
    close(fd);
}

static inline void fake_serve_udp(struct fake_dns *fake, int address, unsigned char *out)
{
    unsigned char msg[2048];
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    ssize_t n = recvfrom(fake->udp[address], msg, sizeof(msg), 0, (void *)&from, &size);
    size_t len = n > 16 ? fake_answer(fake, address, 0, msg, (size_t)n, out) : 0;
    if (len > 0)
        sendto(fake->udp[address], out, len, 0, (void *)&from, size);
}

static inline void *fake_serve(void *arg)
{
    struct fake_dns *fake = arg;
    unsigned char *out = malloc(FAKE_ANSWER);
    while (!fake->stop) {
        struct pollfd p[2 * FAKE_ADDRESSES];
        for (int i = 0; i < FAKE_ADDRESSES; i++) {
            p[i] = (struct pollfd){.fd = fake->udp[i], .events = POLLIN};
            p[FAKE_ADDRESSES + i] = (struct pollfd){.fd = fake->tcp[i], .events = POLLIN};
        }
        if (poll(p, 2 * FAKE_ADDRESSES, 20) <= 0)
            continue;
        for (int i = 0; i < FAKE_ADDRESSES; i++) {
            if (p[FAKE_ADDRESSES + i].revents)
                fake_serve_tcp(fake, i, out);
            if (p[i].revents)
                fake_serve_udp(fake, i, out);
        }
    }
    free(out);
    return NULL;
}

static inline int fake_bind(struct fake_dns *fake, int index, int type)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)fake->port)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;
    inet_pton(AF_INET, fake->base, &addr.sin_addr);
    addr.sin_addr.s_addr = htonl(ntohl(addr.sin_addr.s_addr) + (unsigned)index);
    if (type == SOCK_STREAM) /* with UDP it would let two servers share the port */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    int rc = bind(fd, (void *)&addr, sizeof(addr));
    for (int i = 0; rc < 0 && i < 400; i++) { /* the same test of another build may run just now */
        poll(NULL, 0, 50);
        rc = bind(fd, (void *)&addr, sizeof(addr));
    }
    if (rc < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0)) {
        perror(fake->base);
        exit(1);
    }
    return fd;
}

/* Sockets without the thread: whoever has a loop serves them there. */
static inline void fake_open(struct fake_dns *fake, const char *base, int port,
                             const struct fake_rule *rules)
{
    *fake = (struct fake_dns){.rules = rules, .port = port};
    snprintf(fake->base, sizeof(fake->base), "%s", base);
    for (int i = 0; i < FAKE_ADDRESSES; i++) {
        fake->udp[i] = fake_bind(fake, i, SOCK_DGRAM);
        fake->tcp[i] = fake_bind(fake, i, SOCK_STREAM);
    }
}

static inline void fake_close(struct fake_dns *fake)
{
    for (int i = 0; i < FAKE_ADDRESSES; i++) {
        close(fake->udp[i]);
        close(fake->tcp[i]);
    }
}

static inline void fake_start(struct fake_dns *fake, const char *base, int port,
                              const struct fake_rule *rules)
{
    fake_open(fake, base, port, rules);
    pthread_create(&fake->thread, NULL, fake_serve, fake);
}

static inline void fake_stop(struct fake_dns *fake)
{
    fake->stop = true;
    pthread_join(fake->thread, NULL);
    fake_close(fake);
}

/* Put in front of c-ares by the linker (--wrap): where nobody answers, real waits would take long.
 * A test shortens them for its silent servers alone: on a busy machine those that answer are late,
 * too. */
#ifdef ARES__H
static int fake_hurry = 1; /* times shorter than the product's */
int __real_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
    options->timeout /= fake_hurry;
    return __real_ares_init_options(channel, options, mask);
}
#endif
