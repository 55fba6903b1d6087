/* One row for each plain command: what it asks of the server, and what people read. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_row, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
