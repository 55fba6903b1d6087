/* certmgr status and store stat: what a person reads, and that --json has everything. */
#include "tests/unit/cli/support.h"

#define API "/api/v1"

static struct place place;

static int setup(void **state)
{
    (void)state;
    place_init(&place);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    place_fini(&place);
    return 0;
}

/* The summary, when all is well and when it is not; everything only as JSON. */
static void the_status_is_told_in_lines(void **state)
{
    static const struct route well[] = {
        {"GET", API "/status", 200,
         "{\"server\":\"alpha\",\"version\":\"9\",\"manager\":true,\"agent_connected\":true,"
         "\"trust\":{\"servers\":2,\"manager\":\"alpha\",\"standbys\":[\"bravo\",\"carol\"],"
         "\"version\":3,\"expires_at\":\"T1\"},"
         "\"credentials\":{\"error\":1,\"issued\":5},\"task\":{\"jobs\":1,\"waiting\":2},"
         "\"listeners\":[{\"name\":\"ui\",\"state\":\"open\",\"address\":\"[::]:8443\"}],"
         "\"peers\":[{\"peer\":\"bravo\",\"feed\":true,\"lag_documents\":4}],"
         "\"store\":{\"documents\":9,\"map_used\":2097152,\"map_size\":4194304,"
         "\"map_percent\":50,\"disk_free\":67108864},\"quarantined\":0}"},
        {NULL, NULL, 0, NULL}};
    static const struct route ill[] = {
        {"GET", API "/status", 200,
         "{\"server\":\"bravo\",\"manager\":false,\"agent_connected\":false,"
         "\"listeners\":[{\"name\":\"challenge\",\"state\":\"closed\",\"address\":\"[::]:80\","
         "\"error\":\"taken\"}],\"task\":{\"alarms\":[{\"what\":\"The clock jumped\","
         "\"hint\":\"Set it\"}]},\"hold\":{\"active\":true},"
         "\"upstream\":{\"url\":\"U\",\"pull\":{\"state\":\"waiting\",\"lag_documents\":7,"
         "\"error\":{\"what\":\"no way\"}}},"
         "\"store\":{\"disk_free\":67108863,\"scrub\":{\"problems\":[{}]}},"
         "\"quarantined\":2,\"notices\":{\"waiting\":0,\"open\":0,\"off\":true}}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, well);
    struct said *said = RUN(&place, "status");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "alpha (manager), CertMgr 9\n");
    assert_has(said->out, "2 servers, manager alpha, standby bravo, carol; trust root version 3, "
                          "valid until T1\n");
    assert_has(said->out, "key agent:             connected\n");
    assert_has(said->out, "open [::]:8443\n");
    assert_has(said->out, "1 error, 5 issued\n");
    assert_has(said->out, "1 orders under way, 2 waiting; next due never\n");
    assert_has(said->out, "server bravo:          connected, 4 changes behind, last seen never "
                          "since this server started\n");
    assert_has(said->out, "9 documents, 2 of 4 MiB (50 %)\n");
    assert_null(strstr(said->out, "refused"));
    assert_null(strstr(said->out, "DISK"));
    said = RUN(&place, "status", "--json");
    CM_AUTO_JSON v = NULL;
    assert_int_equal(cm_json_parse(said->out, strlen(said->out), &v, NULL), 0);
    assert_string_equal(cm_json_str(v, "server"), "alpha");
    place_fini(&place);
    place_init(&place);
    place_serve(&place, ill);
    said = RUN(&place, "status");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "key agent:             AWAY");
    assert_has(said->out, "closed [::]:80\n  because:             taken\n");
    assert_has(said->out, "ALARM:                 The clock jumped\n");
    assert_has(said->out, "HOLD: ");
    assert_has(said->out, "waiting, 7 changes behind, last success never\n    no way\n");
    assert_has(said->out, "  DISK:                63 MiB are free; when the disk is full");
    assert_has(said->out, "  DAMAGED: ");
    assert_has(said->out, "  refused: ");
    assert_has(said->out, "notices:               off: nobody is told of alarms");
    assert_null(strstr(said->out, "task: ")); /* the manager's work only */
}

#define SILENT(trust, lag)                                                                         \
    "{\"server\":\"bravo\",\"manager\":false,\"agent_connected\":true,\"listeners\":[],"           \
    "\"trust\":{" trust "\"servers\":2,\"manager\":\"alpha\",\"version\":3,"                       \
    "\"expires_at\":\"2020-01-01T00:00:00.000Z\"},\"upstream\":{\"kind\":\"manager\",\"url\":"     \
    "\"U\","                                                                                       \
    "\"pull\":{\"state\":\"waiting\"," lag "\"error\":{\"what\":\"no way\"}}},\"store\":{}}"

static void told(const char *view, const char *has, const char *has_not)
{
    const struct route routes[] = {{"GET", API "/status", 200, view}, {NULL, NULL, 0, NULL}};
    place_fini(&place);
    place_init(&place);
    place_serve(&place, routes);
    struct said *said = RUN(&place, "status");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, has);
    if (has_not)
        assert_null(strstr(said->out, has_not));
}

/* A silent manager: how far behind is not known, and who can take its place is named. */
static void a_lost_manager_is_no_dead_end(void **state)
{
    (void)state;
    told(SILENT("\"state\":\"active\",\"standbys\":[\"carol\"],", ""),
         "  manager lost?        on its standby (carol): certmgr manager promote --lost\n", NULL);
    told(SILENT("\"state\":\"active\",\"standbys\":[],", "\"lag_seconds\":60,"),
         "  manager lost?        there is no standby: restore its backup", NULL);
    told(SILENT("\"state\":\"active\",\"standbys\":[],", "\"lag_seconds\":59,"),
         "  pull:                waiting, not known how far behind, last success never\n",
         "manager lost?");
    told(SILENT("\"state\":\"active\",", ""), "EXPIRED at 2020-01-01", "REMOVED");
    told(SILENT("\"state\":\"removed\",", ""), "REMOVED: ", "manager lost?");
}

/* Alarms are shown where nobody is told of them, too. */
static void alarms_are_shown_without_mail(void **state)
{
    (void)state;
    told("{\"notices\":{\"open\":0,\"waiting\":0,\"off\":true,\"alarms\":[{\"kind\":\"old_copy\","
         "\"title\":\"The title\",\"what\":\"What is wrong\",\"hint\":\"Do it\"}]}}",
         "ALARM:                 The title: What is wrong\n  what to do:          Do it\n", NULL);
}

/* Each server's lag in documents and in seconds; what is not known is no 0. */
static void the_lag_of_each_server(void **state)
{
    static const struct route routes[] = {
        {"GET", API "/replication", 200,
         "{\"peers\":[{\"peer\":\"bravo\",\"feed\":true,\"lag_documents\":0,\"lag_seconds\":0,"
         "\"last_seen_at\":\"T1\"},{\"peer\":\"charlie\",\"lag_documents\":7,\"lag_seconds\":95,"
         "\"last_seen_at\":\"T2\"},{\"peer\":\"delta\",\"through\":\"hub\"}]}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "replication", "status");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "connected  lag 0 documents, 0 s; last seen T1\n");
    assert_has(said->out, "away       lag 7 documents, 95 s; last seen T2\n");
    assert_has(said->out, "behind hub lag ? documents, ? s; newest document never\n");
}

static void held(const char *view, const char *has, const char *has_not)
{
    const struct route routes[] = {{"GET", API "/status", 200, view}, {NULL, NULL, 0, NULL}};
    place_fini(&place);
    place_init(&place);
    place_serve(&place, routes);
    struct said *said = RUN(&place, "hold");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, has);
    assert_null(strstr(said->out, has_not));
}

/* What ends it depends on who holds: "release" is told to those only whom it helps. */
static void what_ends_a_hold(void **state)
{
#define HOLD(trust, more) "{\"trust\":{\"state\":\"" trust "\"},\"hold\":{" more "}}"
    (void)state;
    held(HOLD("active", "\"active\":true,\"waiting\":[\"bravo\"]"),
         "  has not answered: bravo\nOne that is gone for good never answers: certmgr hold "
         "release\n",
         "by itself");
    held(HOLD("active", "\"active\":true"), "ends by itself when this server has caught up",
         "release");
    held(HOLD("removed", "\"active\":true"), "taken out of the fleet", "release");
    held(HOLD("active", "\"active\":true,\"keys_replaced\":true,\"waiting\":[\"bravo\"]"),
         "replaced after this backup was made: no server accepts it.\nRestore a backup", "release");
    held(HOLD("active", "\"active\":false,\"older_copy\":true,\"waiting\":[\"bravo\"]"),
         "an older copy of its store", "released");
    held(HOLD("active", "\"active\":false,\"waiting\":[\"bravo\"]"),
         "released before bravo answered", "older copy");
    held("{}", "Nothing is on hold.\n", "release");
}

/* How far verdicts are decided anew is told while it runs and after; nothing when it never ran. */
static void the_store_tells_of_verdicts(void **state)
{
#define STAT "{\"documents\":9,\"scrub\":{\"state\":\"idle\",\"problems\":[]}"
    static const struct route never[] = {{"GET", API "/store", 200, STAT "}"},
                                         {NULL, NULL, 0, NULL}};
    static const struct route running[] = {
        {"GET", API "/store", 200,
         STAT ",\"verdicts\":{\"state\":\"running\",\"started_at\":\"2026-11-22T04:00:00.000Z\","
              "\"documents\":400,\"at_most\":1000,\"lost\":3,\"regained\":0}}"},
        {NULL, NULL, 0, NULL}};
    static const struct route over[] = {
        {"GET", API "/store", 200,
         STAT ",\"verdicts\":{\"state\":\"idle\",\"started_at\":\"2026-11-22T04:00:00.000Z\","
              "\"finished_at\":\"2026-11-22T04:00:02.000Z\",\"documents\":900,\"lost\":3,"
              "\"regained\":1}}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, never);
    struct said *said = RUN(&place, "store", "stat");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "documents     9");
    assert_null(strstr(said->out, "verdicts"));
    place_fini(&place);
    place_init(&place);
    place_serve(&place, running);
    said = RUN(&place, "store", "stat");
    assert_has(said->out, "judged anew since 2026-11-22T04:00:00.000Z: 400 of at most 1000 "
                          "documents, 3 no longer count, 0 count again\n");
    place_fini(&place);
    place_init(&place);
    place_serve(&place, over);
    said = RUN(&place, "store", "stat");
    assert_has(said->out, "judged anew at 2026-11-22T04:00:02.000Z: 900 documents, 3 no longer "
                          "count, 1 count again\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_status_is_told_in_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_manager_is_no_dead_end, setup, teardown),
        cmocka_unit_test_setup_teardown(the_lag_of_each_server, setup, teardown),
        cmocka_unit_test_setup_teardown(alarms_are_shown_without_mail, setup, teardown),
        cmocka_unit_test_setup_teardown(what_ends_a_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(the_store_tells_of_verdicts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
