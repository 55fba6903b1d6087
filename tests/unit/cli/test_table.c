/* One row for each plain command: what it asks of the server, and what people read. */
#include "base/core/clock.h"
#include "support.h"

#define API  "/api/v1"
#define ULID "01ARZ3NDEKTSV4RRFFQ69G5FAV"

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

static const struct {
    const char *args[8];
    struct route route;
    int status;
    const char *asked; /* the beginning of what was sent */
    const char *out;   /* part of what was printed, on either stream */
} rows[] = {
    {{"show", ULID},
     {"GET", API "/credentials/" ULID, 200,
      "{\"credential\":{\"status\":\"issued\",\"health\":{\"color\":\"yellow\",\"causes\":["
      "\"the deployment on b failed: no disk\"]},\"host_names\":[\"a.example\"]},\"next\":"
      "\"Next: renewal\",\"receipts\":[{\"server\":\"b\",\"state\":\"failed\",\"at\":\"T\"}]}"},
     CLI_OK,
     "GET " API "/credentials/" ULID,
     "the deployment on b failed: no disk"},
    {{"report", "--hours", "48"},
     {"GET", API "/report?hours=48", 200,
      "{\"since\":\"S\",\"issued\":{\"count\":1,\"rows\":[{\"credential\":\"" ULID
      "\",\"names\":[\"a.example\"],\"servers\":[\"alpha\"],\"target\":\"t\",\"keyring_file\":\"f."
      "kyr\","
      "\"not_after\":\"E\"}]},\"failed\":{\"count\":0},\"misconfigured\":{\"count\":0},\"skipped\":"
      "{"
      "\"count\":7,\"next_at\":\"N\"}}"},
     CLI_OK,
     "GET " API "/report?hours=48",
     "    until E, t/f.kyr on alpha\nfailed: 0\nmisconfigured: 0\nskipped: 7, the next one is due "
     "at N"},
    {{"report"},
     {"GET", API "/report?hours=24", 200,
      "{\"since\":\"S\",\"misconfigured\":{\"count\":1,\"rows\":[{\"credential\":\"" ULID
      "\",\"names\":[\"a.example\"],\"text\":\"by hand\",\"fix\":\"pause\"}]}}"},
     CLI_FAILED,
     "GET " API "/report?hours=24",
     "    by hand\n    -> pause"},
    {{"show", ULID},
     {"GET", API "/credentials/" ULID, 404,
      "{\"title\":\"Not Found\",\"status\":404,\"detail\":\"there is no credential " ULID "\"}"},
     CLI_NOT_FOUND,
     "GET ",
     "there is no credential " ULID},
    {{"retry", ULID},
     {"POST", API "/credentials/" ULID "/retry", 202, "{}"},
     CLI_OK,
     "POST " API "/credentials/" ULID "/retry",
     ""},
    {{"renew", ULID},
     {"POST", API "/credentials/" ULID "/renew", 202, "{}"},
     CLI_OK,
     "POST " API "/credentials/" ULID "/renew {\"new_key\":false}",
     ""},
    {{"renew", "--new-key", ULID},
     {"POST", API "/credentials/" ULID "/renew", 202, "{}"},
     CLI_OK,
     "POST " API "/credentials/" ULID "/renew {\"new_key\":true}",
     ""},
    {{"renew", "--new-key", "--revoke", "keyCompromise", ULID},
     {"POST", API "/credentials/" ULID "/renew", 202, "{}"},
     CLI_OK,
     "POST " API "/credentials/" ULID "/renew {\"new_key\":true,\"revoke\":1}",
     ""},
    {{"server", "remove", "beta"},
     {"DELETE", API "/servers/beta", 204, ""},
     CLI_OK,
     "DELETE " API "/servers/beta",
     ""},
    {{"setup-link"},
     {"POST", API "/setup-links", 201, "{\"url\":\"https://a/setup/x\"}"},
     CLI_OK,
     "POST " API "/setup-links",
     "https://a/setup/x"},
    {{"account", "list"},
     {"GET", API "/accounts", 200,
      "{\"accounts\":[{\"name\":\"le\",\"directory\":\"https://ca\",\"status\":\"valid\"}],"
      "\"next\":null}"},
     CLI_OK,
     "GET " API "/accounts",
     "https://ca"},
    {{"dns", "list"},
     {"GET", API "/dns-accounts", 200,
      "{\"dns_accounts\":[{\"name\":\"zone1\",\"kind\":\"rfc2136\",\"domains\":[\"a.example\"]}],"
      "\"next\":null}"},
     CLI_OK,
     "GET " API "/dns-accounts",
     "zone1"},
    {{"status"},
     {"GET", API "/status", 200, "{\"server\":\"alpha\",\"manager\":true,\"listeners\":[]}"},
     CLI_OK,
     "GET " API "/status",
     "alpha"},
    {{"list"},
     {"GET", API "/credentials?view=host", 503,
      "{\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"the agent is away\"}"},
     CLI_UNREACHABLE,
     "GET ",
     "the agent is away"},
};

static void every_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct route routes[] = {rows[i].route, {NULL, NULL, 0, NULL}};
        teardown(NULL);
        setup(NULL);
        place_serve(&place, routes);
        const char *words[12] = {"--root", place.root};
        for (size_t n = 0; rows[i].args[n]; n++)
            words[n + 2] = rows[i].args[n];
        struct said *said = run_words(&place, "", words);
        CM_AUTO_STR asked = place_asked(&place);
        if (said->status != rows[i].status ||
            strncmp(asked, rows[i].asked, strlen(rows[i].asked)) != 0 ||
            (!strstr(said->out, rows[i].out) && !strstr(said->err, rows[i].out)))
            fail_msg("row %zu: status %d, asked %s, said %s%s", i, said->status, asked, said->out,
                     said->err);
    }
}

/* ---- accounts and their bindings ---- */

#define DAY_MS INT64_C(86400000)

/* An account bound age_ms ago by a key that is of use left_ms more; 0 = no limit known. */
static json_t *bound_account(const char *name, int64_t age_ms, int64_t left_ms)
{
    json_t *account = json_pack("{s:s, s:s, s:s, s:{s:s}}", "name", name, "directory",
                                "https://ca.example/dir", "status", "new", "eab", "kid", "KID-1");
    json_t *eab = json_object_get(account, "eab");
    cm_json_set_time(eab, "at", cm_now_ms() - age_ms);
    if (left_ms != 0)
        cm_json_set_time(eab, "ends_at", cm_now_ms() + left_ms);
    return account;
}

static void the_list_tells_the_age_of_bindings(void **state)
{
    (void)state;
    CM_AUTO_JSON reply = json_pack("{s:[o, o, o, o, {s:s, s:s, s:s}]}", "accounts",
                                   bound_account("young", 3 * DAY_MS + 60000, 11 * DAY_MS - 60000),
                                   bound_account("last", DAY_MS + 60000, DAY_MS / 2),
                                   bound_account("late", 20 * DAY_MS + 60000, -6 * DAY_MS),
                                   bound_account("open", 5000, 0), "name", "plain", "directory",
                                   "https://other.example", "status", "valid");
    CM_AUTO_STR text = cm_json_dump(reply, NULL);
    const struct route routes[] = {{"GET", API "/accounts", 200, text}, {NULL, NULL, 0, NULL}};
    place_serve(&place, routes);
    struct said *said = RUN(&place, "account", "list");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out,
               "young                new         3 days old, 10 days left    https://ca");
    assert_has(said->out, "last                 new         1 day old, 0 days left ");
    assert_has(said->out, "late                 new         20 days old, too late ");
    assert_has(said->out,
               "open                 new         0 days old                  https://ca");
    assert_has(said->out, "plain                valid       -                           https://o");
}

static const char shown_preset[] =
    "{\"presets\":[{\"name\":\"no\",\"directory\":\"https://other.example\",\"title\":\"Wrong\"},"
    "{\"name\":\"yes\",\"title\":\"The CA\",\"directory\":\"https://ca.example/dir\",\"eab\":true,"
    "\"ari\":true,\"profiles\":false,\"eab_days\":14,\"contact_min\":1,\"contact_max\":6,"
    "\"key_type\":\"RSA\",\"reasons\":[0,4],\"validity_days\":90}]}";
static const char shown_budget[] = "{\"known\":true,\"limits\":[{\"limit\":\"orders\",\"left\":299,"
                                   "\"of\":300,\"subject\":\"jprs\"}]}";

/* All that the page of an account shows; with --json what the API said, as it is. */
static void an_account_is_shown(void **state)
{
    (void)state;
    CM_AUTO_JSON account = bound_account("jprs", 3 * DAY_MS + 60000, 11 * DAY_MS - 60000);
    json_object_update_new(
        account,
        json_pack("{s:[s, s], s:{s:s, s:s, s:s}, s:s, s:{s:s, s:s}, s:i, s:b, s:s}", "contacts",
                  "mailto:a@b.example", "mailto:c@d.example", "terms_agreed", "by", "admin", "at",
                  "2026-01-02T03:04:05Z", "url", "https://ca.example/terms", "thumbprint", "THUMB",
                  "error", "what", "it \x1b[1mfailed", "hint", "mend it", "http_port", 8080,
                  "self_check", 0, "challenge", "tls-alpn-01"));
    json_object_update_new(
        json_object_get(account, "eab"),
        json_pack("{s:i,s:s,s:b}", "key_bytes", 44, "alg", "HS512", "two_readings", 1));
    CM_AUTO_STR text = cm_json_dump(account, NULL);
    const struct route routes[] = {{"GET", API "/accounts/jprs", 200, text},
                                   {"GET", API "/presets", 200, shown_preset},
                                   {"GET", API "/accounts/jprs/budget", 200, shown_budget},
                                   {NULL, NULL, 0, NULL}};
    static const char *const lines[] = {"account:               jprs",
                                        "CA:                    The CA",
                                        "directory:             https://ca",
                                        "account URL:           not registered yet",
                                        "contacts:              a@b.example",
                                        "                       c@d.example",
                                        "terms agreed:          2026-01-02T03:04:05Z by admin",
                                        "  terms:               https://ca.example/terms",
                                        "bound by:              KID-1",
                                        "(3 days old, 10 days left)",
                                        ("  HMAC key:            44 bytes, HS512; it may be "
                                         "encoded twice"),
                                        "  of use until:        20",
                                        "key:                   THUMB",
                                        "challenge:             tls-alpn-01",
                                        "  HTTP port:           8080",
                                        "  self-check:          no",
                                        "error:                 it ?[1mfailed",
                                        "  what to do:          mend it",
                                        "accounts are bound (EAB)",
                                        "renewal times of the CA (ARI)",
                                        "only RSA keys",
                                        "  bindings live:       14 days",
                                        "  revocation reasons:  [0,4]",
                                        "orders     299 of 300  now",
                                        "jprs"};
    place_serve(&place, routes);
    struct said *said = RUN(&place, "account", "show", "jprs");
    assert_int_equal(said->status, CLI_OK);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_has(said->out, lines[i]);
    assert_null(strstr(said->out, "Wrong"));
    assert_null(strstr(said->out, "profiles"));
    said = RUN(&place, "account", "show", "jprs", "--json");
    CM_AUTO_JSON json = json_loads(said->out, 0, NULL);
    assert_true(json_equal(cm_json_obj(json, "account"), account));
    assert_string_equal(cm_json_str(cm_json_obj(json, "preset"), "name"), "yes");
    assert_int_equal(json_array_size(cm_json_arr(cm_json_obj(json, "budget"), "limits")), 1);
    said = RUN(&place, "account", "show", "other");
    assert_int_equal(said->status, CLI_NOT_FOUND);
}

/* A name becomes part of a path: what is none is not sent. */
static void account_names_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a/b", "..%2f", "a?b"};
    static const char *const commands[] = {"show", "budget", "find", "delete"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        for (size_t n = 0; n < sizeof(commands) / sizeof(commands[0]); n++) {
            struct said *said = RUN(&place, "account", commands[n], bad[i]);
            assert_int_equal(said->status, CLI_USAGE);
            assert_has(said->err, "an account name has letters");
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_row, setup, teardown),
        cmocka_unit_test_setup_teardown(the_list_tells_the_age_of_bindings, setup, teardown),
        cmocka_unit_test_setup_teardown(an_account_is_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(account_names_are_checked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
