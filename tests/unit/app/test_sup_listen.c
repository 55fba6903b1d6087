/* The supervisor's sockets: bound, not listening, and honest about what could not be bound. */
#include "tests/unit/app/support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/net/http_server.h"
#include "certmgr/sup_listen.h"

static int connect_tcp(const char *address, int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET, address, &sa.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int rv = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 ? 0 : errno;
    close(fd);
    return rv;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    assert_int_equal(cm_strcpy(sa.sun_path, sizeof(sa.sun_path), path), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int rv = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 ? 0 : errno;
    close(fd);
    return rv;
}

static struct sup_listener listener_at(const char *address)
{
    struct sup_listener l = {.name = "test", .fd = -1};
    cm_strcpy(l.address, sizeof(l.address), address);
    return l;
}

#define HOST       "127.0.232.1"
#define FIRST_PORT 20000 /* below those of clients (ip_local_port_range) */

/* A port that is free and stays free: nobody is given it, and this process has its own to try. -1 =
 * there is no such family here. */
static int free_port(int family)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    assert_int_equal(inet_pton(AF_INET, HOST, &in.sin_addr), 1);
    for (int i = 0, from = FIRST_PORT + (int)(getpid() % 10000); i < 100; i++) {
        in.sin_port = in6.sin6_port = htons((uint16_t)(from + i));
        int fd = socket(family, SOCK_STREAM, 0);
        int rc = fd < 0              ? -1
                 : family == AF_INET ? bind(fd, (struct sockaddr *)&in, sizeof(in))
                                     : bind(fd, (struct sockaddr *)&in6, sizeof(in6));
        int why = errno;
        if (fd >= 0)
            close(fd);
        if (rc == 0)
            return from + i;
        if (why != EADDRINUSE)
            break;
    }
    return -1;
}

/* The group is in force before anybody can connect; one that does not exist is told by name. */
static void the_socket_belongs_to_its_group(void **state)
{
    char dir[] = "/tmp/sup-listen-XXXXXX";
    struct stat st;
    struct sup_listener l = {.name = "api", .fd = -1, .group = "no-such-group"};
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(l.address, sizeof(l.address), "unix:%s/api.sock", dir);
    assert_true(sup_listener_bind(&l) < 0);
    assert_int_equal(l.fd, -1);
    assert_non_null(strstr(l.error, "there is no group \"no-such-group\""));
    assert_int_not_equal(stat(l.address + 5, &st), 0);

    /* As root any group will do, else it has to be one of ours. */
    const struct group *gr = geteuid() == 0 ? getgrnam("daemon") : getgrgid(getegid());
    if (gr) {
        CM_AUTO_STR name = cm_strdup(gr->gr_name);
        gid_t gid = gr->gr_gid;
        l.group = name;
        assert_int_equal(sup_listener_bind(&l), 0);
        assert_int_equal(stat(l.address + 5, &st), 0);
        assert_int_equal(st.st_gid, gid);
        assert_int_equal(st.st_mode & 0777, 0660);
        sup_listener_close(&l);
    }
    assert_int_equal(rmdir(dir), 0);
}

static void the_table_follows_the_configuration(void **state)
{
    (void)state;
    static struct config c;
    struct sup_listener l[SUP_LISTENERS];
    c = (struct config){.ui_port = 8443, .replication_port = 0, .challenge_port = 80};
    cm_strcpy(c.listen_address, sizeof(c.listen_address), "127.0.0.1");
    cm_strcpy(c.socket, sizeof(c.socket), "/run/certmgr/certmgr.sock");
    cm_strcpy(c.challenge_address, sizeof(c.challenge_address), "127.0.0.2");
    sup_listeners_init(&c, l);
    assert_string_equal(l[0].name, "ui");
    assert_string_equal(l[0].address, "127.0.0.1:8443");
    assert_string_equal(l[1].name, "replication");
    assert_string_equal(l[1].address, "");
    assert_string_equal(l[2].name, "challenge");
    assert_string_equal(l[2].address, "127.0.0.2:80");
    assert_string_equal(l[3].name, "api");
    assert_string_equal(l[3].address, "unix:/run/certmgr/certmgr.sock");
    assert_string_equal(l[4].name, "tls_challenge");
    assert_string_equal(l[4].address, ""); /* off */
    for (size_t i = 0; i < SUP_LISTENERS; i++)
        assert_int_equal(l[i].fd, -1);
    c.tls_challenge_port = 443;
    cm_strcpy(c.tls_challenge_address, sizeof(c.tls_challenge_address), "127.0.0.3");
    cm_strcpy(c.listen_address, sizeof(c.listen_address), "::1");
    sup_listeners_init(&c, l);
    assert_string_equal(l[0].address, "[::1]:8443");
    assert_string_equal(l[2].address, "127.0.0.2:80");
    assert_string_equal(l[4].address, "127.0.0.3:443");
}

static void on_request(void *arg, struct http_exchange *ex)
{
    (void)arg;
    http_ex_reply(ex, 204, NULL, NULL, 0);
}

static void clients_are_refused_until_the_front_listens(void **state)
{
    (void)state;
    int port = free_port(AF_INET);
    CM_AUTO_STR address = cm_asprintf(HOST ":%d", port);
    struct sup_listener l = listener_at(address);
    assert_int_equal(sup_listener_bind(&l), 0);
    assert_true(l.fd >= 0);
    assert_string_equal(l.error, "");
    assert_int_equal(connect_tcp(HOST, port), ECONNREFUSED);
    struct cm_loop *loop = cm_loop_new();
    struct http_listener *http = NULL;
    struct cm_err err = CM_ERR_INIT;
    struct http_listen_opts opts = {.fd = dup(l.fd), .handler = on_request};
    assert_int_equal(http_listen(loop, &opts, &http, &err), 0);
    assert_int_equal(connect_tcp(HOST, port), 0);
    http_listener_free(http);
    cm_loop_free(loop);
    sup_listener_close(&l);
    assert_int_equal(connect_tcp(HOST, port), ECONNREFUSED);
}

static void a_taken_port_says_so_and_is_bound_later(void **state)
{
    (void)state;
    int port = free_port(AF_INET), other = -1;
    CM_AUTO_STR address = cm_asprintf(HOST ":%d", port);
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(http_bind(address, &other, &err), 0);
    struct sup_listener l = listener_at(address);
    assert_int_equal(sup_listener_bind(&l), CM_ECONFLICT);
    assert_int_equal(l.fd, -1);
    assert_non_null(strstr(l.error, address));
    assert_non_null(strstr(l.error, "another program uses this address"));
    close(other);
    assert_int_equal(sup_listener_bind(&l), 0);
    assert_string_equal(l.error, "");
    sup_listener_close(&l);
}

static void ipv6_addresses_are_bound(void **state)
{
    (void)state;
    int port = free_port(AF_INET6);
    if (port < 0) { /* a machine without IPv6: said, not tried for ever in silence */
        struct sup_listener none = listener_at("[::1]:8443");
        assert_true(sup_listener_bind(&none) < 0);
        assert_string_not_equal(none.error, "");
        return;
    }
    CM_AUTO_STR address = cm_asprintf("[::1]:%d", port);
    struct sup_listener l = listener_at(address);
    assert_int_equal(sup_listener_bind(&l), 0);
    struct sockaddr_in6 sa = {0};
    socklen_t len = sizeof(sa);
    assert_int_equal(getsockname(l.fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(sa.sin6_family, AF_INET6);
    assert_int_equal(ntohs(sa.sin6_port), port);
    sup_listener_close(&l);
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"127.0.0.1:99999", "localhost:80",  "[::1]", "::1:80x",
                                      "[127.0.0.1]:80",  "127.0.0.1:+80", "unix:x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sup_listener l = listener_at(bad[i]);
        assert_true(sup_listener_bind(&l) < 0);
        assert_int_equal(l.fd, -1);
        assert_true(l.error[0] != '\0');
    }
}

struct place {
    char dir[32];
    char path[64], address[80];
};

static struct place place_new(void)
{
    struct place p = {.dir = "/tmp/listen-test-XXXXXX"};
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.path, sizeof(p.path), "%s/run/api.sock", p.dir);
    snprintf(p.address, sizeof(p.address), "unix:%s", p.path);
    return p;
}

static void place_free(struct place *p)
{
    char run[64];
    snprintf(run, sizeof(run), "%s/run", p->dir);
    unlink(p->path);
    rmdir(run);
    rmdir(p->dir);
}

static void the_unix_socket_gets_its_folder_and_goes_at_the_end(void **state)
{
    (void)state;
    struct place p = place_new();
    struct sup_listener l = listener_at(p.address);
    struct stat st;
    mode_t old = umask(077);
    assert_int_equal(sup_listener_bind(&l), 0);
    umask(old);
    assert_int_equal(stat(p.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    char run[64];
    snprintf(run, sizeof(run), "%s/run", p.dir);
    assert_int_equal(stat(run, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755); /* clients must reach it */
    assert_int_equal(connect_unix(p.path), ECONNREFUSED);
    sup_listener_close(&l);
    assert_int_equal(access(p.path, F_OK), -1);
    place_free(&p);
}

static void a_stale_socket_is_replaced_a_live_one_left_alone(void **state)
{
    (void)state;
    struct place p = place_new();
    struct sup_listener first = listener_at(p.address), second = listener_at(p.address);
    assert_int_equal(sup_listener_bind(&first), 0);
    close(first.fd); /* killed: the file stays */
    assert_int_equal(access(p.path, F_OK), 0);
    assert_int_equal(sup_listener_bind(&first), 0);
    assert_int_equal(listen(first.fd, 5), 0);
    assert_int_equal(sup_listener_bind(&second), CM_ECONFLICT);
    assert_non_null(strstr(second.error, "another process is listening"));
    sup_listener_close(&second); /* takes nothing away that it did not bind */
    assert_int_equal(connect_unix(p.path), 0);
    sup_listener_close(&first);
    place_free(&p);
}

static void a_file_in_the_way_is_not_removed(void **state)
{
    (void)state;
    struct place p = place_new();
    struct sup_listener l = listener_at(p.address);
    assert_int_equal(sup_listener_bind(&l), 0);
    sup_listener_close(&l);
    FILE *f = fopen(p.path, "w");
    assert_non_null(f);
    fclose(f);
    assert_true(sup_listener_bind(&l) < 0);
    assert_int_equal(access(p.path, F_OK), 0);
    place_free(&p);
}

static void a_path_too_long_is_refused_whole(void **state)
{
    (void)state;
    struct place p = place_new();
    char path[300];
    snprintf(path, sizeof(path), "unix:%s/%0150d", p.dir, 7);
    struct sup_listener l = listener_at(path);
    assert_true(sup_listener_bind(&l) < 0);
    assert_non_null(strstr(l.error, "at most"));
    place_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_socket_belongs_to_its_group),
        cmocka_unit_test(the_table_follows_the_configuration),
        cmocka_unit_test(clients_are_refused_until_the_front_listens),
        cmocka_unit_test(a_taken_port_says_so_and_is_bound_later),
        cmocka_unit_test(ipv6_addresses_are_bound),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(the_unix_socket_gets_its_folder_and_goes_at_the_end),
        cmocka_unit_test(a_stale_socket_is_replaced_a_live_one_left_alone),
        cmocka_unit_test(a_file_in_the_way_is_not_removed),
        cmocka_unit_test(a_path_too_long_is_refused_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
