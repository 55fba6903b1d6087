/* DNS look-ups against a raw resolver on loopback. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/net/dns.h"

#define TYPE_A    1
#define TYPE_AAAA 28

/* Put in front of c-ares by the linker: where nobody answers, real waits would take 14 s. */
static int hurry = 1; /* times shorter than the product's */
int __real_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask);

int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
    assert_true(mask & ARES_OPT_TIMEOUTMS);
    options->timeout /= hurry;
    return __real_ares_init_options(channel, options, mask);
}

static struct cm_loop *loop;
static int server_fd, server_port;
static pthread_t server_thread;
static atomic_bool server_stop;
static atomic_int server_queries;

/* Appends one address record for the question's name; returns the new length. */
static size_t add_record(unsigned char *msg, size_t len, int type, const char *address)
{
    unsigned char rdata[16];
    size_t size = type == TYPE_A ? 4 : 16;
    assert_int_equal(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, address, rdata), 1);
    const unsigned char head[] = {0xc0, 12, 0, (unsigned char)type, 0, 1, 0, 0,
                                  0,    5,  0, (unsigned char)size};
    memcpy(msg + len, head, sizeof(head));
    memcpy(msg + len + sizeof(head), rdata, size);
    msg[7]++;
    return len + sizeof(head) + size;
}

/* Answers by the first letter of the name: a = both, e = no data, n = no such name, v = IPv4 only,
 * s = silence, f = server failure, m = many addresses. */
static size_t answer(unsigned char *msg, size_t len)
{
    char kind = (char)msg[13];
    size_t end = 12;
    while (msg[end])
        end += msg[end] + 1u;
    int type = msg[end + 2];
    len = end + 5; /* without the additional section */
    msg[2] = 0x85;
    msg[3] = kind == 'n' ? 0x83 : kind == 'f' ? 0x82 : 0x80;
    memset(msg + 6, 0, 6);
    if (type == TYPE_AAAA && kind == 'a')
        len = add_record(msg, len, TYPE_AAAA, "2001:db8::7");
    if (type == TYPE_A && (kind == 'a' || kind == 'v'))
        len = add_record(msg, len, TYPE_A, "192.0.2.1");
    if (type == TYPE_A && kind == 'a')
        len = add_record(msg, len, TYPE_A, "192.0.2.2");
    for (int i = 0; i < 20 && type == TYPE_A && kind == 'm'; i++) {
        char text[32];
        snprintf(text, sizeof(text), "192.0.2.%d", i + 1);
        len = add_record(msg, len, TYPE_A, text);
    }
    return kind == 's' ? 0 : len;
}

static void *serve(void *arg)
{
    (void)arg;
    while (!server_stop) {
        struct pollfd p = {.fd = server_fd, .events = POLLIN};
        unsigned char msg[2048];
        struct sockaddr_in from;
        socklen_t size = sizeof(from);
        if (poll(&p, 1, 20) <= 0)
            continue;
        ssize_t n = recvfrom(server_fd, msg, 512, 0, (struct sockaddr *)&from, &size);
        if (n < 17)
            continue;
        server_queries++;
        size_t len = answer(msg, (size_t)n);
        if (len > 0)
            sendto(server_fd, msg, len, 0, (struct sockaddr *)&from, size);
    }
    return NULL;
}

static int setup(void **state)
{
    (void)state;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    server_stop = false;
    server_queries = 0;
    server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server_fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(getsockname(server_fd, (struct sockaddr *)&addr, &len), 0);
    server_port = ntohs(addr.sin_port);
    assert_int_equal(pthread_create(&server_thread, NULL, serve, NULL), 0);
    loop = cm_loop_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_loop_free(loop);
    server_stop = true;
    pthread_join(server_thread, NULL);
    close(server_fd);
    return 0;
}

struct outcome {
    struct dns_client *client;
    const char *then; /* look this up from inside the answer */
    int done, code;
    char text[1024];
};

static void on_addrs(void *arg, const char *const *addrs, size_t count, const struct cm_err *err)
{
    struct outcome *o = arg;
    o->done++;
    o->code = err->code;
    o->text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(o->text);
        snprintf(o->text + len, sizeof(o->text) - len, "%s ", addrs[i]);
    }
    if (count == 0)
        snprintf(o->text, sizeof(o->text), "%s", err->what);
    if (o->then) {
        const char *host = o->then;
        o->then = NULL;
        dns_addrs(o->client, host, on_addrs, o);
    } else {
        cm_loop_stop(loop);
    }
}

static struct dns_client *new_client(void)
{
    char resolver[64];
    struct dns_client *client;
    struct cm_err err = CM_ERR_INIT;
    snprintf(resolver, sizeof(resolver), "127.0.0.1:%d", server_port);
    assert_int_equal(dns_client_new(loop, resolver, &client, &err), 0);
    return client;
}

static struct outcome look_up(const char *host)
{
    struct outcome o = {.client = new_client()};
    dns_addrs(o.client, host, on_addrs, &o);
    assert_int_equal(o.done, 0); /* never from inside */
    cm_loop_run(loop);
    assert_int_equal(o.done, 1);
    dns_client_free(o.client);
    return o;
}

static void both_families_ipv6_first(void **state)
{
    (void)state;
    struct outcome o = look_up("a.example");
    assert_int_equal(o.code, 0);
    assert_string_equal(o.text, "2001:db8::7 192.0.2.1 192.0.2.2 ");
    o = look_up("v.example");
    assert_string_equal(o.text, "192.0.2.1 ");
}

static void negative_answers(void **state)
{
    (void)state;
    struct outcome o = look_up("n.example");
    assert_int_equal(o.code, CM_ENOENT);
    assert_string_equal(o.text, "host n.example does not exist in the DNS");
    o = look_up("e.example");
    assert_int_equal(o.code, CM_ENOENT);
    assert_string_equal(o.text, "host e.example has no IPv4 or IPv6 address in the DNS");
    o = look_up("f.example");
    assert_int_equal(o.code, CM_ENET);
    o = look_up("a..example");
    assert_int_equal(o.code, CM_EINVAL);
}

static void literals_answer_themselves(void **state)
{
    (void)state;
    struct outcome o = look_up("192.0.2.9");
    assert_string_equal(o.text, "192.0.2.9 ");
    o = look_up("2001:DB8::1");
    assert_string_equal(o.text, "2001:db8::1 ");
    assert_int_equal(server_queries, 0);
}

static void the_number_of_addresses_is_capped(void **state)
{
    (void)state;
    struct outcome o = look_up("m.example");
    unsigned count = 0;
    for (const char *at = o.text; *at; at++)
        count += *at == ' ';
    assert_int_equal(count, DNS_ADDRS_MAX);
}

static void answers_may_ask_again(void **state)
{
    (void)state;
    struct outcome o = {.client = new_client(), .then = "v.example"};
    dns_addrs(o.client, "n.example", on_addrs, &o);
    cm_loop_run(loop);
    assert_int_equal(o.done, 2);
    assert_string_equal(o.text, "192.0.2.1 ");
    dns_client_free(o.client);
}

static void freeing_ends_what_is_pending(void **state)
{
    (void)state;
    struct outcome o = {.client = new_client(), .then = "also-too-late.example"};
    dns_addrs(o.client, "s.example", on_addrs, &o);
    for (int i = 0; i < 20; i++) {
        cm_loop_turn(loop, false);
        usleep(1000);
    }
    assert_int_equal(o.done, 0);
    dns_client_free(o.client);
    assert_int_equal(o.done, 2);
    assert_int_equal(o.code, CM_ECLOSED);
}

static void silence_ends_in_a_timeout(void **state)
{
    (void)state;
    hurry = 20;
    struct outcome o = look_up("s.example");
    hurry = 1;
    assert_int_equal(o.code, CM_ETIMEOUT);
    for (int i = 0; i < 5000 && server_queries < 6; i++)
        usleep(1000);                 /* its thread may be late */
    assert_true(server_queries >= 6); /* three tries for each type */
}

static void bad_resolvers_are_refused(void **state)
{
    (void)state;
    struct dns_client *client = NULL;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(dns_client_new(loop, "not an address", &client, &err), CM_EINVAL);
    assert_null(client);
    assert_non_null(strstr(err.what, "not an address"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_families_ipv6_first),   TEST(negative_answers),
        TEST(literals_answer_themselves), TEST(the_number_of_addresses_is_capped),
        TEST(answers_may_ask_again),      TEST(freeing_ends_what_is_pending),
        TEST(silence_ends_in_a_timeout),  TEST(bad_resolvers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
