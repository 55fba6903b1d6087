/* Commands against a server that answers from a table: what is asked, what is printed, where, and
 * with which exit status. */
#include "tests/unit/cli/support.h"

#include <sys/socket.h>

#define ULID "01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define API  "/api/v1"

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

/* ---- dispatch ---- */

static void help_lists_the_commands(void **state)
{
    (void)state;
    struct said *said = RUN(&place, "help");
    assert_int_equal(said->status, CLI_OK);
    assert_string_equal(said->err, "");
    for (size_t i = 0; cli_fleet_commands[i].name != NULL; i++)
        assert_has(said->out, cli_fleet_commands[i].name);
    assert_has(said->out, "serve ");
    assert_has(said->out, "request -d NAME");
    said = RUN(&place, "--help");
    assert_int_equal(said->status, CLI_OK);
    said = RUN(&place, "-h");
    assert_has(said->out, "request -d NAME");
    said = RUN(&place, "--version");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "certmgr " CM_VERSION);
    said = RUN(&place, "show", "--help");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "usage: certmgr show ID");
    said = RUN(&place, "help", "show");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "usage: certmgr show ID");
    said = RUN(&place, "help", "server");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "certmgr server add NAME");
    said = RUN(&place, "server", "--help");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "certmgr server add NAME");
    said = RUN(&place, "help", "frobnicate");
    assert_int_equal(said->status, CLI_USAGE);
    said = run_words(&place, "", (const char *const[]){NULL});
    assert_int_equal(said->status, CLI_USAGE);
    assert_string_equal(said->out, "");
    assert_has(said->err, "usage: certmgr");
}

/* Texts of the help begin in one column, whatever the bytes before them are. */
static void the_help_is_aligned(void **state)
{
    (void)state;
    struct said *said = RUN(&place, "help");
    int rows = 0;
    for (const char *line = said->out; *line != '\0';) {
        size_t end = strcspn(line, "\n");
        int column = 0;
        for (size_t i = 0; i < end; i++) {
            if (i > 2 && i + 1 < end && strncmp(line + i - 2, "  ", 2) == 0 && line[i] != ' ') {
                assert_int_equal(column, 45);
                rows++;
            }
            column += (line[i] & 0xc0) != 0x80;
        }
        line += end + (line[end] == '\n');
    }
    assert_true(rows > 40);
}

/* --root is understood wherever it stands; behind "--" it is a word. */
static void the_root_may_stand_anywhere(void **state)
{
    (void)state;
    CM_AUTO_STR joined = cm_asprintf("--root=%s", place.root);
    struct said *said =
        run_words(&place, "", (const char *const[]){"server", "list", "--root", place.root, NULL});
    assert_int_equal(said->status, CLI_UNREACHABLE);
    assert_has(said->err, place.root);
    said = run_words(&place, "", (const char *const[]){"server", joined, "list", NULL});
    assert_int_equal(said->status, CLI_UNREACHABLE);
    assert_has(said->err, place.root);
    said = run_words(&place, "", (const char *const[]){"server", "list", "--root", NULL});
    assert_int_equal(said->status, CLI_USAGE);
    assert_has(said->err, "a directory is missing");
    said = RUN(&place, "show", "--", "--root");
    assert_int_equal(said->status, CLI_USAGE);
    assert_has(said->err, "26-character id");
}

static void unknown_commands_are_usage_errors(void **state)
{
    (void)state;
    static const char *const bad[] = {"frobnicate", "server", "servers", "serve r", "li", ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct said *said = RUN(&place, bad[i]);
        assert_int_equal(said->status, CLI_USAGE);
        assert_has(said->err, "there is no command");
        assert_string_equal(said->out, "");
    }
    struct said *said = RUN(&place, "server", "eat");
    assert_int_equal(said->status, CLI_USAGE);
    assert_has(said->err, "no command \"server eat\"");
    assert_has(said->err, "certmgr server add NAME");
}

static void wrong_arguments_show_the_usage(void **state)
{
    (void)state;
    struct said *said = RUN(&place, "server", "add");
    assert_int_equal(said->status, CLI_USAGE);
    assert_has(said->err, "usage: certmgr server add NAME");
    said = RUN(&place, "server", "add", "a", "b");
    assert_int_equal(said->status, CLI_USAGE);
    said = RUN(&place, "list", "--nonsense");
    assert_int_equal(said->status, CLI_USAGE);
    assert_has(said->err, "--nonsense: unknown option");
    said = RUN(&place, "request", "-s", "alpha");
    assert_int_equal(said->status, CLI_USAGE);
    assert_has(said->err, "name at least one host with -d");
    said = RUN(&place, "show", "../../servers");
    assert_int_equal(said->status, CLI_USAGE);
    assert_has(said->err, "26-character id");
    said = RUN(&place, "list", "--view", "host&after=x");
    assert_int_equal(said->status, CLI_USAGE);
    said = RUN(&place, "request", "-d", "\xff");
    assert_int_equal(said->status, CLI_USAGE);
    assert_has(said->err, "argument 5 is not UTF-8");
}

static void a_broken_configuration_is_told(void **state)
{
    (void)state;
    CM_AUTO_STR dir = cm_asprintf("%s/etc/certmgr", place.root);
    CM_AUTO_STR file = cm_asprintf("%s/certmgr.conf", dir);
    assert_int_equal(cm_dir_make(dir, 0755, NULL), 0);
    assert_int_equal(cm_file_write(file, "[server]\nnam = x\n", 17, 0644, NULL), 0);
    struct said *said = RUN(&place, "list");
    assert_int_equal(said->status, CLI_FAILED);
    assert_has(said->err, "certmgr.conf, line 2");
}

static void a_join_token_is_judged_before_anything_is_made(void **state)
{
    (void)state;
    struct said *said = RUN(&place, "join", "nonsense");
    assert_int_equal(said->status, CLI_FAILED);
    assert_has(said->err, "not a join token");
    CM_AUTO_STR state_dir = cm_asprintf("%s/var", place.root);
    assert_false(cm_path_exists(state_dir));
    said = RUN(&place, "join"); /* standard input is empty */
    assert_int_equal(said->status, CLI_USAGE);
    said = run_words(&place, "bm90IGpzb24\n",
                     (const char *const[]){"--root", place.root, "join", "-", NULL});
    assert_int_equal(said->status, CLI_FAILED);
    assert_has(said->err, "not a join token");
    /* {"name":"x","secret":"s","spki":"p","url":"u"} for another server */
    said = RUN(&place, "join", "eyJuYW1lIjoieCIsInNlY3JldCI6InMiLCJzcGtpIjoicCIsInVybCI6InUifQ");
    assert_int_equal(said->status, CLI_FAILED);
    assert_has(said->err, "the token is for server \"x\"");
    assert_false(cm_path_exists(state_dir));
}

/* ---- the server ---- */

static void nobody_there_is_unreachable(void **state)
{
    (void)state;
    struct said *said = RUN(&place, "server", "list");
    assert_int_equal(said->status, CLI_UNREACHABLE);
    assert_string_equal(said->out, "");
    assert_has(said->err, "does not answer");
    assert_has(said->err, "Is \"certmgr serve\" running?");
    assert_has(said->err, "o such file");
    assert_null(strstr(said->err, "localhost")); /* a person knows the socket, not a port */
    said = RUN(&place, "server", "list", "--json");
    assert_int_equal(said->status, CLI_UNREACHABLE);
    CM_AUTO_JSON v = NULL;
    assert_int_equal(cm_json_parse(said->out, strlen(said->out), &v, NULL), 0);
    assert_string_equal(cm_json_str(cm_json_obj(v, "error"), "code"), "network");
}

/* A server that cuts so many connections, once it was asked, before it answers one. */
static void serve_after_cuts(int cuts)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "Content-Length: 17\r\n\r\n{\"renew_days\": 9}";
    CM_AUTO_STR dir = cm_asprintf("%s/run/certmgr", place.root);
    CM_AUTO_STR address = cm_asprintf("unix:%s/certmgr.sock", dir);
    int fd = -1;
    assert_int_equal(cm_dir_make(dir, 0755, NULL), 0);
    assert_int_equal(http_bind(address, &fd, NULL), 0);
    place.server = fork();
    assert_true(place.server >= 0);
    while (place.server == 0) {
        char asked[4096];
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        (void)poll(&ready, 1, -1);
        int one = accept(fd, NULL, NULL);
        if (one < 0)
            continue;
        ready.fd = one;
        (void)poll(&ready, 1, -1);
        if (read(one, asked, sizeof(asked)) > 0 && cuts-- <= 0)
            (void)!write(one, answer, sizeof(answer) - 1);
        close(one);
    }
    close(fd);
}

/* Who begins anew while it is asked something is asked once more, if nothing is changed by that. */
static void a_cut_question_is_asked_once_more(void **state)
{
    (void)state;
    serve_after_cuts(1);
    struct said *said = RUN(&place, "settings", "--json");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "renew_days");
    teardown(NULL);
    setup(NULL);
    serve_after_cuts(2);
    said = RUN(&place, "settings", "--json");
    assert_int_equal(said->status, CLI_UNREACHABLE);
    assert_has(said->err, "does not answer");
    teardown(NULL);
    setup(NULL);
    serve_after_cuts(1);
    said = RUN(&place, "retry", ULID);
    assert_int_equal(said->status, CLI_UNREACHABLE);
}

static void a_refusal_maps_to_its_status(void **state)
{
    static const struct {
        int http, status;
    } rows[] = {{400, CLI_FAILED},    {401, CLI_DENIED},   {403, CLI_DENIED},
                {404, CLI_NOT_FOUND}, {409, CLI_CONFLICT}, {412, CLI_CONFLICT},
                {422, CLI_FAILED},    {500, CLI_FAILED},   {503, CLI_UNREACHABLE}};
    static struct route routes[16];
    (void)state;
    size_t n = sizeof(rows) / sizeof(rows[0]);
    char target[16][80];
    for (size_t i = 0; i < n; i++) {
        snprintf(target[i], sizeof(target[i]), API "/servers/s%d", rows[i].http);
        routes[i] = (struct route){"DELETE", target[i], rows[i].http,
                                   "{\"title\":\"No\",\"detail\":\"because \\u001b[31m\","
                                   "\"errors\":[{\"pointer\":\"/name\",\"detail\":\"bad name\"}],"
                                   "\"error\":{\"hint\":\"do that\"}}"};
    }
    place_serve(&place, routes);
    for (size_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%d", rows[i].http);
        struct said *said = RUN(&place, "server", "remove", name);
        assert_int_equal(said->status, rows[i].status);
        assert_string_equal(said->out, "");
        assert_string_equal(said->err, "certmgr: No: because ?[31m\n  name: bad name\n  do that\n");
    }
    struct said *said = RUN(&place, "server", "remove", "s409", "--json");
    assert_int_equal(said->status, CLI_CONFLICT);
    CM_AUTO_JSON v = NULL;
    assert_int_equal(cm_json_parse(said->out, strlen(said->out), &v, NULL), 0);
    assert_string_equal(cm_json_str(v, "detail"), "because \x1b[31m");
}

static void a_request_sends_its_fields(void **state)
{
    static const struct route routes[] = {{"POST", API "/requests", 201,
                                           "{\"credential\":\"" ULID
                                           "\",\"notes\":[\"caf\\u00e9 is xn--caf-dma\"]}"},
                                          {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "request", "-d", "a.example", "--domain=caf\xc3\xa9.example",
                            "-s", "alpha", "--renew-days", "20", "--key-type", "P-256");
    assert_int_equal(said->status, CLI_OK);
    assert_string_equal(said->out, ULID "\n"); /* nothing but the id: scripts read it */
    assert_string_equal(said->err, "note: caf\xc3\xa9 is xn--caf-dma\n");
    CM_AUTO_STR asked = place_asked(&place);
    assert_string_equal(asked, "POST " API "/requests {\"host_names\":[\"a.example\","
                               "\"caf\xc3\xa9.example\"],\"servers\":[\"alpha\"],"
                               "\"key_type\":\"P-256\",\"renew_days\":20}\n");
    said = RUN(&place, "request", "-d", "a.example", "--json");
    CM_AUTO_JSON v = NULL;
    assert_int_equal(cm_json_parse(said->out, strlen(said->out), &v, NULL), 0);
    assert_string_equal(cm_json_str(v, "credential"), ULID);
}

static void waiting_ends_with_the_credentials_status(void **state)
{
    static const struct route issued[] = {
        {"POST", API "/requests", 201, "{\"credential\":\"" ULID "\"}"},
        {"GET", API "/credentials/" ULID, 200,
         "{\"credential\":{\"status\":\"issued\"},\"steps\":[{\"at\":\"T1\",\"text\":\"one\"},"
         "{\"at\":\"T2\",\"text\":\"two\"}]}"},
        {NULL, NULL, 0, NULL}};
    static const struct route failed[] = {
        {"GET", API "/credentials/" ULID, 200, "{\"credential\":{\"status\":\"error\"}}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, issued);
    struct said *said = RUN(&place, "request", "-d", "a.example", "--wait");
    assert_int_equal(said->status, CLI_OK);
    assert_string_equal(said->out, "T1  one\nT2  two\nstatus: issued\n");
    place_fini(&place);
    place_init(&place);
    place_serve(&place, failed);
    said = RUN(&place, "log", "--follow", ULID);
    assert_int_equal(said->status, CLI_FAILED);
    assert_string_equal(said->out, "status: error\n");
}

static void a_list_is_read_to_its_last_page(void **state)
{
    static const struct route routes[] = {
        {"GET", API "/credentials?view=expiry", 200,
         "{\"credentials\":[{\"id\":\"" ULID "\",\"status\":\"issued\",\"not_after\":\"T\","
         "\"health\":{\"color\":\"yellow\",\"causes\":[\"c\"]},"
         "\"host_names\":[\"a.example\",\"b.example\"]}],\"next\":\"Y3Vyc29y\"}"},
        {"GET", API "/credentials?view=expiry&after=Y3Vyc29y", 200,
         "{\"credentials\":[{\"id\":\"X\",\"status\":\"error\",\"host_names\":[\"c.example\"]}],"
         "\"next\":null}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "list", "--view", "expiry");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, ULID "  issued      yellow  T                         a.example (+1)\n");
    assert_has(said->out,
               "X                           error       -       -                         "
               "c.example\n");
    said = RUN(&place, "--view=expiry", "list");
    assert_int_equal(said->status, CLI_USAGE); /* the command comes first */
    said = RUN(&place, "list", "--view=expiry", "--json");
    CM_AUTO_JSON v = NULL;
    assert_int_equal(cm_json_parse(said->out, strlen(said->out), &v, NULL), 0);
    assert_int_equal(json_array_size(cm_json_arr(v, "credentials")), 2);
}

/* What tells the rows of a view apart stands in them. */
static void a_row_shows_what_it_stands_under(void **state)
{
#define ROW(key)                                                                                   \
    "{\"id\":\"X\",\"status\":\"issued\",\"host_names\":[\"a.example\",\"b.example\"],\"key\":"    \
    "\"" key "\"}"
    static const struct route routes[] = {
        {"GET", API "/credentials?view=host", 200,
         "{\"credentials\":[" ROW("a.example") "," ROW("b.example") "],\"next\":null}"},
        {"GET", API "/credentials?view=server", 200,
         "{\"credentials\":[" ROW("web1") "," ROW("web2") "],\"next\":null}"},
        {NULL, NULL, 0, NULL}};
#undef ROW
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "list");
    assert_has(said->out, "  a.example (+1)\n");
    assert_has(said->out, "  b.example (+1)\n");
    said = RUN(&place, "list", "--view", "server");
    assert_has(said->out, "  SERVER, HOST NAMES\n");
    assert_has(said->out, "  web1  a.example (+1)\n");
    assert_has(said->out, "  web2  a.example (+1)\n");
}

static void a_join_token_goes_to_standard_output_alone(void **state)
{
    static const struct route routes[] = {
        {"POST", API "/servers", 201, "{\"token\":\"TOKEN\",\"expires_at\":\"T\"}"},
        {"DELETE", API "/servers/a%2Fb", 204, ""},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "server", "add", "beta");
    assert_int_equal(said->status, CLI_OK);
    assert_string_equal(said->out, "TOKEN\n");
    assert_has(said->err, "On server beta, before T, run: certmgr join TOKEN");
    CM_AUTO_STR asked = place_asked(&place);
    assert_string_equal(asked, "POST " API "/servers {\"name\":\"beta\"}\n");
}

static void settings_are_shown_or_changed(void **state)
{
    static const struct route routes[] = {
        {"GET", API "/settings", 200,
         "{\"account\":\"l\\u001be\",\"renew_days\":30,\"servers\":"
         "[\"a\",\"b\"],\"staging_first\":true,\"target\":null,"
         "\"propagation\":{\"fixed_s\":9}}"},
        {"PUT", API "/settings", 200, "{\"account\":\"x\"}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "settings");
    assert_int_equal(said->status, CLI_OK);
    assert_string_equal(said->out, "account:               l?e\n"
                                   "renew days:            30\n"
                                   "servers:               a\n"
                                   "                       b\n"
                                   "staging first:         yes\n"
                                   "target:                -\n"
                                   "propagation:\n"
                                   "  fixed s:             9\n");
    assert_int_equal(RUN(&place, "settings", "--account", "x", "--renew-days", "30")->status,
                     CLI_OK);
    assert_int_equal(RUN(&place, "settings", "--renew-days", "0")->status, CLI_USAGE);
    CM_AUTO_STR asked = place_asked(&place);
    assert_string_equal(asked, "GET " API "/settings \nPUT " API
                               "/settings {\"account\":\"x\",\"renew_days\":30}\n");
}

static void an_account_takes_its_bundle_from_a_file(void **state)
{
    static const struct route routes[] = {{"PUT", API "/accounts/le", 200, "{\"name\":\"le\"}"},
                                          {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "account", "add", "le", "--directory", "https://ca.example/d",
                            "--ca-bundle", "/nonexistent/ca.pem");
    assert_int_equal(said->status, CLI_FAILED);
    assert_has(said->err, "/nonexistent/ca.pem");
    CM_AUTO_STR nothing = place_asked(&place);
    assert_string_equal(nothing, "");
    assert_int_equal(RUN(&place, "account", "add", "le")->status, CLI_USAGE);
    assert_int_equal(RUN(&place, "account", "add", "le", "--directory", "https://ca.example/d",
                         "--http-port", "0")
                         ->status,
                     CLI_USAGE);
    CM_AUTO_STR pem = cm_asprintf("%s/ca.pem", place.root);
    assert_int_equal(cm_file_write(pem, "PEM", 3, 0600, NULL), 0);
    said = RUN(&place, "account", "add", "le", "--directory", "https://ca.example/d", "--agree-tos",
               "--contact", "mailto:a@example.org", "--ca-bundle", pem);
    assert_int_equal(said->status, CLI_OK);
    CM_AUTO_STR asked = place_asked(&place);
    assert_string_equal(asked, "PUT " API "/accounts/le {\"directory\":\"https://ca.example/d\","
                               "\"contacts\":[\"mailto:a@example.org\"],\"terms_agreed\":true,"
                               "\"self_check\":true,\"http_port\":80,\"ca_pem\":\"PEM\"}\n");
}

static void an_account_says_how_names_are_proved(void **state)
{
    static const struct route routes[] = {{"PUT", API "/accounts/le", 200, "{\"name\":\"le\"}"},
                                          {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    assert_int_equal(RUN(&place, "account", "add", "le", "--directory", "https://ca.example/d",
                         "--tls-port", "x")
                         ->status,
                     CLI_USAGE);
    assert_int_equal(RUN(&place, "account", "add", "le", "--directory", "https://ca.example/d",
                         "--challenge", "tls-alpn-01", "--tls-port", "5001")
                         ->status,
                     CLI_OK);
    CM_AUTO_STR asked = place_asked(&place);
    assert_has(asked, "\"tls_port\":5001,\"challenge\":\"tls-alpn-01\"");
    assert_int_equal(RUN(&place, "account", "add", "le", "--directory", "https://ca.example/d",
                         "--activation", "ocsp", "--activation-seconds", "86401")
                         ->status,
                     CLI_USAGE);
    assert_int_equal(RUN(&place, "account", "add", "le", "--directory", "https://ca.example/d",
                         "--activation", "ocsp", "--activation-seconds", "900")
                         ->status,
                     CLI_OK);
    CM_AUTO_STR more = place_asked(&place);
    assert_has(more, "\"activation\":\"ocsp\",\"activation_s\":900");
}

static void certificates_by_hand(void **state)
{
    static const struct route routes[] = {
        {"GET", API "/credentials/01HZZZZZZZZZZZZZZZZZZZZZZA/csr", 200, "{\"csr\":\"PEM-TEXT\"}"},
        {"POST", API "/credentials/01HZZZZZZZZZZZZZZZZZZZZZZA/renew", 204, ""},
        {"POST", API "/credentials/01HZZZZZZZZZZZZZZZZZZZZZZA/certificate", 202,
         "{\"credential\":\"01HZZZZZZZZZZZZZZZZZZZZZZA\",\"notes\":[\"put into order\"]}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    assert_int_equal(RUN(&place, "csr", "show", "www")->status, CLI_USAGE);
    assert_int_equal(RUN(&place, "csr", "upload", "01HZZZZZZZZZZZZZZZZZZZZZZA")->status, CLI_USAGE);
    assert_has(RUN(&place, "csr", "show", "01HZZZZZZZZZZZZZZZZZZZZZZA")->out, "PEM-TEXT");
    assert_int_equal(RUN(&place, "csr", "new", "01HZZZZZZZZZZZZZZZZZZZZZZA", "--new-key")->status,
                     CLI_OK);
    CM_AUTO_STR asked = place_asked(&place);
    assert_has(asked, "/renew {\"new_key\":true}");
    assert_int_equal(
        RUN(&place, "renew", "--revoke", "superseded", "01HZZZZZZZZZZZZZZZZZZZZZZA")->status,
        CLI_USAGE);
    assert_int_equal(
        RUN(&place, "renew", "--new-key", "--revoke", "unspecified", "01HZZZZZZZZZZZZZZZZZZZZZZA")
            ->status,
        CLI_USAGE);
    CM_AUTO_STR pem = cm_asprintf("%s/cert.pem", place.root);
    assert_int_equal(cm_file_write(pem, "CERT\n", 5, 0600, NULL), 0);
    const struct said *said = RUN(&place, "csr", "upload", "01HZZZZZZZZZZZZZZZZZZZZZZA", pem);
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->err, "note: put into order");
    CM_AUTO_STR sent = place_asked(&place);
    assert_has(sent, "/certificate {\"certificate\":\"CERT\\n\"}");
    CM_AUTO_STR none = cm_asprintf("%s/none.pem", place.root);
    assert_int_not_equal(RUN(&place, "csr", "upload", "01HZZZZZZZZZZZZZZZZZZZZZZA", none)->status,
                         CLI_OK);
}

static void an_answer_that_is_no_json_is_survived(void **state)
{
    static const struct route routes[] = {{"GET", API "/servers", 200, "<html>"},
                                          {"GET", API "/status", 502, "<html>"},
                                          {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "server", "list");
    assert_int_equal(said->status, CLI_FAILED);
    assert_has(said->err, "not JSON");
    said = RUN(&place, "status");
    assert_int_equal(said->status, CLI_FAILED);
    assert_has(said->err, "the server refused");
}

/* An error of replication is told whole: on what, why, what to do, when it goes on. */
static void replication_tells_the_whole_error(void **state)
{
    static const struct route routes[] = {
        {"GET", API "/replication", 200,
         "{\"upstream\":{\"kind\":\"hub\",\"url\":\"https://h/db\","
         "\"cert_not_after\":\"2026-12-01T00:00:00.000Z\",\"cert_health\":\"yellow\"},"
         "\"directions\":[{"
         "\"direction\":\"pull\",\"peer\":\"https://h/db\",\"state\":\"waiting\","
         "\"last_error_at\":\"2026-11-22T04:01:00.000Z\",\"error\":{\"what\":\"w\"},"
         "\"last_error\":{\"what\":\"replication (pull) has stopped\",\"object\":\"peer "
         "https://h/db\",\"causes\":[\"no route\",\"link down\"],\"hint\":\"Look at the "
         "cable\",\"attempts\":3,\"next_attempt_at\":\"2026-11-22T04:02:26.000Z\"}}]}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "replication", "status");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "client certificate to 2026-12-01T00:00:00.000Z  YELLOW: set a new one");
    assert_has(said->out, "  last error    2026-11-22T04:01:00.000Z\n"
                          "    replication (pull) has stopped\n"
                          "      on: peer https://h/db\n"
                          "      because: no route\n"
                          "      because: link down\n"
                          "      what to do: Look at the cable\n"
                          "      attempts: 3\n"
                          "      next attempt: 2026-11-22T04:02:26.000Z\n");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(help_lists_the_commands),
        T(the_help_is_aligned),
        T(the_root_may_stand_anywhere),
        T(unknown_commands_are_usage_errors),
        T(wrong_arguments_show_the_usage),
        T(a_broken_configuration_is_told),
        T(a_join_token_is_judged_before_anything_is_made),
        T(nobody_there_is_unreachable),
        T(a_cut_question_is_asked_once_more),
        T(a_refusal_maps_to_its_status),
        T(a_request_sends_its_fields),
        T(waiting_ends_with_the_credentials_status),
        T(a_list_is_read_to_its_last_page),
        T(a_row_shows_what_it_stands_under),
        T(replication_tells_the_whole_error),
        T(a_join_token_goes_to_standard_output_alone),
        T(settings_are_shown_or_changed),
        T(an_account_takes_its_bundle_from_a_file),
        T(an_account_says_how_names_are_proved),
        T(certificates_by_hand),
        T(an_answer_that_is_no_json_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
