/* The page that replaces a server's keys: asking, its states, giving up. */
#include "tests/unit/web/rig.h"

#include "web-ui/ctx.h"

#define ALPHA "/servers/alpha.example.net/rotate" /* this server */
#define BRAVO "/servers/bravo.example.net/rotate"

static struct {
    json_t *rotation, *proposal; /* what the port tells */
    struct cm_err fail;
    char ordered[64], by[64];
    int begun, cancelled;
} port;

static json_t *port_rotation(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return json_deep_copy(port.rotation);
}

static json_t *port_show(void *arg)
{
    (void)arg;
    return json_pack("{s:i, s:[], s:O*}", "threshold", 2, "signers", "proposal", port.proposal);
}

static int told(struct cm_err *err)
{
    return port.fail.code ? cm_fail(err, port.fail.code, "%s", port.fail.what) : 0;
}

static int port_rotate(void *arg, const char *who, struct cm_err *err)
{
    (void)arg;
    port.begun++;
    snprintf(port.by, sizeof(port.by), "%s", who);
    return told(err);
}

static int port_cancel(void *arg, struct cm_err *err)
{
    (void)arg;
    port.cancelled++;
    return told(err);
}

static void port_order(void *arg, const char *name, const char *who, fleet_done_fn done,
                       void *done_arg)
{
    (void)arg;
    snprintf(port.ordered, sizeof(port.ordered), "%s", name);
    snprintf(port.by, sizeof(port.by), "%s", who);
    done(done_arg, port.fail.code ? &port.fail : NULL);
}

static void start(struct rig *rig)
{
    memset(&port, 0, sizeof(port));
    rig_start(rig);
    rig_sign_in(rig);
    rig->web->env.power = (struct web_power){.rotate = port_rotate,
                                             .rotate_cancel = port_cancel,
                                             .rotate_order = port_order,
                                             .rotation = port_rotation,
                                             .show = port_show};
}

static void stop(struct rig *rig)
{
    json_decref(port.rotation);
    json_decref(port.proposal);
    cm_err_fini(&port.fail);
    rig_stop(rig);
}

/* What the port tells from now on (owned). */
static void tell(json_t *take_rotation)
{
    json_decref(port.rotation);
    port.rotation = take_rotation;
}

static void test_asked_for(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    start(&rig);
    rig_get(&rig, "/servers", &reply);
    assert_has(&reply, "href=\"" ALPHA "\"");
    assert_has(&reply, "href=\"" BRAVO "\" aria-label=\"Rotate keys of bravo.example.net\"");
    assert_has_not(&reply, "/servers/charlie.example.net/rotate"); /* removed */
    reply_fini(&reply);
    rig_get(&rig, BRAVO, &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "Rotate the keys of bravo.example.net?");
    assert_has(&reply, "no certificate is issued anew");
    assert_has(&reply, "cannot come back as this server");
    assert_has_not(&reply, "its pages are away for a moment"); /* not this server */
    assert_has_not(&reply, "http-equiv");
    assert_int_equal(port.begun, 0);
    assert_string_equal(port.ordered, "");
    reply_fini(&reply);
    rig_post(&rig, BRAVO, "", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), BRAVO);
    assert_string_equal(port.ordered, "bravo.example.net");
    assert_non_null(strstr(port.by, USER));
    assert_int_equal(port.begun, 0);
    reply_fini(&reply);
    rig_get(&rig, ALPHA, &reply);
    assert_has(&reply, "its pages are away for a moment");
    reply_fini(&reply);
    rig_post(&rig, ALPHA, "", &reply);
    assert_status(&reply, 303);
    assert_int_equal(port.begun, 1);
    reply_fini(&reply);
    stop(&rig);
}

static void test_refused(void **state)
{
    static const char *const nowhere[] = {"/servers/nobody/rotate",
                                          "/servers/charlie.example.net/rotate"};
    struct rig rig;
    struct reply reply;

    (void)state;
    start(&rig);
    cm_fail(&port.fail, CM_EBUSY, "<b>this server is on hold");
    rig_post(&rig, ALPHA, "", &reply);
    assert_status(&reply, 503);
    assert_has(&reply, "&lt;b&gt;this server is on hold");
    reply_fini(&reply);
    rig_post(&rig, BRAVO, "", &reply);
    assert_status(&reply, 503);
    assert_has(&reply, "&lt;b&gt;this server is on hold");
    reply_fini(&reply);
    port.begun = 0;
    for (size_t i = 0; i < 2; i++) { /* unknown, removed */
        CM_AUTO_STR cancel = cm_asprintf("%s/cancel", nowhere[i]);
        rig_get(&rig, nowhere[i], &reply);
        assert_status(&reply, 404);
        reply_fini(&reply);
        rig_post(&rig, nowhere[i], "", &reply);
        assert_status(&reply, 404);
        reply_fini(&reply);
        rig_post(&rig, cancel, "", &reply);
        assert_status(&reply, 404);
        reply_fini(&reply);
    }
    assert_int_equal(port.begun + port.cancelled, 0);
    rig.web->env.power = (struct web_power){0}; /* a build that cannot */
    rig_get(&rig, "/servers", &reply);
    assert_has_not(&reply, "/rotate\"");
    reply_fini(&reply);
    rig_get(&rig, ALPHA, &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    stop(&rig);
}

static void test_states(void **state)
{
    static const struct {
        const char *state, *alpha, *bravo; /* sentences on the pages of both */
        bool may_stop;
    } rows[] = {
        {"ordered", "step 1 of 5", "It waits for server bravo.example.net to hear", false},
        {"keys", "It waits for the key agent of alpha", "step 2 of 5", true},
        {"proposed", "lists the new keys of alpha", "lists the new keys of bravo", true},
        {"resealing", "nothing on alpha.example.net needs", "which follows the trust root", false},
        {"resealed", "without the former keys", "step 5 of 5", false},
    };
    struct rig rig;
    struct reply reply;

    (void)state;
    start(&rig);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tell(json_pack("{s:s}", "state", rows[i].state));
        rig_get(&rig, ALPHA, &reply);
        assert_status(&reply, 200);
        assert_has(&reply, rows[i].alpha);
        assert_has(&reply, "data-watch=\"" ALPHA "\"");
        assert_has(&reply, "<noscript><meta http-equiv=\"refresh\"");
        assert_has_not(&reply, "action=\"" ALPHA "\""); /* not twice */
        assert_int_equal(strstr(reply.body, "action=\"" ALPHA "/cancel\"") != NULL,
                         rows[i].may_stop);
        reply_fini(&reply);
        rig_get(&rig, BRAVO, &reply);
        assert_has(&reply, rows[i].bravo);
        assert_has_not(&reply, "/cancel\"");
        assert_int_equal(strstr(reply.body, "certmgr server rotate --cancel” on bravo") != NULL,
                         rows[i].may_stop);
        reply_fini(&reply);
    }
    tell(json_pack("{s:s, s:{s:i, s:s, s:s, s:s}}", "state", "resealed", "waiting", "documents", 23,
                   "first", "credential:x", "since", "2026-11-22T00:00:00.000Z", "until",
                   "2026-11-23T00:00:00.000Z"));
    rig_get(&rig, BRAVO, &reply);
    assert_has(&reply, "It waits until bravo.example.net has sealed anew what is sealed for its");
    assert_has(&reply, "<dt>Documents for the former key alone</dt><dd>23</dd>");
    assert_has(&reply, "The former keys go at the latest");
    assert_has(&reply, "2026-11-23");
    reply_fini(&reply);
    rig_get(&rig, "/servers", &reply);
    assert_has(&reply, "aria-label=\"Keys of bravo.example.net are being rotated\"");
    reply_fini(&reply);
    stop(&rig);
}

static void test_what_hinders(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    start(&rig);
    tell(json_pack("{s:s, s:i, s:s, s:s, s:b, s:s, s:s}", "state", "resealing", "left", 17, "by",
                   "<i>alice", "started_at", "2026-01-02T03:04:05.000Z", "stuck", 1, "error",
                   "<script>no", "refused", "<b>not proved"));
    rig_get(&rig, ALPHA, &reply);
    assert_has(&reply, "<dt>Documents left</dt><dd>17</dd>");
    assert_has(&reply, "&lt;i&gt;alice");
    assert_has(&reply, "datetime=\"2026-01-02T03:04:05");
    assert_has(&reply, "Nothing went on for 15 minutes.");
    assert_has(&reply, "&lt;script&gt;no");
    assert_has(&reply, "&lt;b&gt;not proved");
    assert_has(&reply, "It cannot be given up any more");
    reply_fini(&reply);
    /* a proposal counts when it is the one with this server's new keys */
    tell(json_pack("{s:s}", "state", "proposed"));
    port.proposal = json_pack("{s:s, s:i, s:i, s:{s:[{s:s, s:{}}, {s:s}]}}", "what", "x", "have", 1,
                              "need", 2, "document", "servers", "name", "bravo.example.net", "old",
                              "name", "alpha.example.net");
    rig_get(&rig, BRAVO, &reply);
    assert_has(&reply, "It waits for root signers: 1 of 2 signatures are there.");
    assert_has(&reply, "certmgr trust sign FILE");
    reply_fini(&reply);
    rig_get(&rig, ALPHA, &reply);
    assert_has_not(&reply, "root signers");
    reply_fini(&reply);
    stop(&rig);
}

static void test_given_up(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    start(&rig);
    tell(json_pack("{s:s}", "state", "proposed"));
    rig_post(&rig, BRAVO "/cancel", "", &reply); /* only on that server itself */
    assert_status(&reply, 403);
    assert_has(&reply, "given up on its own server");
    assert_int_equal(port.cancelled, 0);
    reply_fini(&reply);
    rig_post(&rig, ALPHA "/cancel", "", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), ALPHA);
    assert_int_equal(port.cancelled, 1);
    reply_fini(&reply);
    cm_fail(&port.fail, CM_ECONFLICT, "the trust root lists the new keys already");
    rig_post(&rig, ALPHA "/cancel", "", &reply);
    assert_status(&reply, 409);
    assert_has(&reply, "lists the new keys already");
    reply_fini(&reply);
    /* afterwards: it can be asked for again */
    tell(json_pack("{s:s, s:s}", "state", "cancelled", "finished_at", "2026-01-02T03:04:05.000Z"));
    rig_get(&rig, ALPHA, &reply);
    assert_has(&reply, "<dt>Given up</dt>");
    assert_has(&reply, "action=\"" ALPHA "\"");
    reply_fini(&reply);
    tell(json_pack("{s:s, s:s}", "state", "done", "finished_at", "2026-01-02T03:04:05.000Z"));
    rig_get(&rig, ALPHA, &reply);
    assert_has(&reply, "<dt>Rotated last</dt>");
    assert_has_not(&reply, "data-watch");
    reply_fini(&reply);
    stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asked_for), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_states),    cmocka_unit_test(test_what_hinders),
        cmocka_unit_test(test_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
