/*
 * libcurl's multi interface, driven by the loop's watches and one timer.
 *
 * libcurl lets go of a socket after each transfer and takes the same up again for the next one on
 * its connection.  The watch stays meanwhile (it costs six system calls to make), until the socket
 * is closed, which goes through a callback.  But libcurl 7.88 closes losing sockets of a connection
 * race without telling, and the descriptor may come back at once: whoever takes up a number that is
 * still watched gets a new watch.
 */
#include "base/net/curl_loop.h"

#include <curl/curl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/mem.h"

struct curl_socket {
    struct curl_socket *next;
    struct curl_loop *curl;
    curl_socket_t fd;
    struct cm_watch *watch;
    int events;
    ino_t inode;  /* as on_curl_open() made it, so on_curl_close() will come; 0 = it did not */
    bool resting; /* libcurl let go of it */
};

struct curl_loop {
    struct cm_loop *loop;
    CURLM *multi;
    struct cm_timer *timer; /* libcurl's */
    struct curl_socket *sockets;
    curl_loop_done_fn done;
    bool inside; /* inside curl_multi_socket_action(), so possibly inside a callback */
};

static void reap(struct curl_loop *curl)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(curl->multi, &left)) != NULL) {
        CURLcode rc = msg->data.result; /* msg is gone once done removes the handle */
        char *arg = NULL;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &arg);
        curl->done(arg, (int)rc);
    }
}

static void act(struct curl_loop *curl, curl_socket_t fd, int mask)
{
    int running;
    curl->inside = true;
    curl_multi_socket_action(curl->multi, fd, mask, &running);
    curl->inside = false;
    reap(curl);
}

static void on_timer(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_ready(void *arg, int events)
{
    struct curl_socket *s = arg; /* may be gone after act() */
    if (s->resting) { /* the peer closed an idle connection: libcurl looks before it uses one */
        cm_watch_set(s->watch, 0);
        return;
    }
    act(s->curl, s->fd,
        (events & CM_WATCH_READ ? CURL_CSELECT_IN : 0) |
            (events & CM_WATCH_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct curl_loop *curl = arg;
    (void)multi;
    if (timeout_ms < 0)
        cm_timer_stop(curl->timer);
    else
        cm_timer_start(curl->timer, timeout_ms);
    return 0;
}

static struct curl_socket **find_socket(struct curl_loop *curl, curl_socket_t fd)
{
    struct curl_socket **at = &curl->sockets;
    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    return at;
}

static void drop_socket(struct curl_socket **at)
{
    struct curl_socket *s = *at;
    *at = s->next;
    cm_watch_free(s->watch);
    cm_free(s);
}

static ino_t inode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static struct curl_socket *add_socket(struct curl_loop *curl, curl_socket_t fd)
{
    struct curl_socket *s = cm_calloc(1, sizeof(*s));
    *s = (struct curl_socket){.next = curl->sockets, .curl = curl, .fd = fd};
    s->watch = cm_watch_new(curl->loop, fd, on_ready, s);
    curl->sockets = s;
    return s;
}

static void watch_anew(struct curl_socket *s)
{
    cm_watch_free(s->watch);
    s->watch = cm_watch_new(s->curl->loop, s->fd, on_ready, s);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct curl_loop *curl = arg;
    struct curl_socket **at = find_socket(curl, fd), *s = *at;
    (void)easy;
    (void)socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (s && s->inode != 0 && s->inode == inode_of(fd))
            s->resting = true;
        else if (s)
            drop_socket(at);
        return 0;
    }
    if (!s)
        s = add_socket(curl, fd);
    else if (!s->resting) /* it may be another socket by now */
        cm_watch_set(s->watch, 0);
    s->resting = false;
    s->events =
        (what & CURL_POLL_IN ? CM_WATCH_READ : 0) | (what & CURL_POLL_OUT ? CM_WATCH_WRITE : 0);
    cm_watch_set(s->watch, s->events);
    return 0;
}

static curl_socket_t on_curl_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct curl_loop *curl = arg;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    struct curl_socket *s = *find_socket(curl, fd);
    if (s) { /* its predecessor was closed unseen */
        watch_anew(s);
        cm_watch_set(s->watch, s->events); /* libcurl may believe that we know */
    } else {
        s = add_socket(curl, fd);
        s->resting = true;
    }
    s->inode = inode_of(fd);
    return fd;
}

static int on_curl_close(void *arg, curl_socket_t fd)
{
    struct curl_socket **at = find_socket(arg, fd);
    if (*at)
        drop_socket(at);
    return close(fd);
}

struct curl_loop *curl_loop_new(struct cm_loop *loop, curl_loop_done_fn done)
{
    static bool ready;
    if (!ready)
        CM_BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK);
    ready = true;
    struct curl_loop *curl = cm_calloc(1, sizeof(*curl));
    curl->loop = loop;
    curl->done = done;
    curl->multi = curl_multi_init();
    CM_BUG_ON(!curl->multi);
    curl->timer = cm_timer_new(loop, on_timer, curl);
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl);
    return curl;
}

void curl_loop_free(struct curl_loop *curl)
{
    if (!curl)
        return;
    curl_multi_cleanup(curl->multi);
    while (curl->sockets)
        drop_socket(&curl->sockets);
    cm_timer_free(curl->timer);
    cm_free(curl);
}

void *curl_loop_easy(struct curl_loop *curl)
{
    CURL *easy = curl_easy_init();
    CM_BUG_ON(!easy);
    CM_BUG_ON(curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_curl_open) != CURLE_OK ||
              curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, curl) != CURLE_OK ||
              curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_curl_close) != CURLE_OK ||
              curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, curl) != CURLE_OK ||
              curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
              /* the environment does not decide where requests go */
              curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
              /* ending a transfer must not wait for a resolver thread that hangs */
              curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) != CURLE_OK);
    return easy;
}

void curl_loop_add(struct curl_loop *curl, void *easy)
{
    CM_BUG_ON(curl_multi_add_handle(curl->multi, easy) != CURLM_OK);
}

void curl_loop_remove(struct curl_loop *curl, void *easy)
{
    curl_multi_remove_handle(curl->multi, easy);
}

bool curl_loop_inside(const struct curl_loop *curl)
{
    return curl->inside;
}

void curl_loop_limits(struct curl_loop *curl, long per_host, long total, long idle)
{
    curl_multi_setopt(curl->multi, CURLMOPT_MAX_HOST_CONNECTIONS, per_host);
    curl_multi_setopt(curl->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, total);
    curl_multi_setopt(curl->multi, CURLMOPT_MAXCONNECTS, idle);
}
