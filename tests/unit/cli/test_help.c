/* --help of every command: its options with a text each, and nothing else happens. */
#include "support.h"

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

static const struct cli_command *const tables[] = {
    cli_fleet_commands,        cli_credential_commands, cli_life_commands,   cli_report_commands,
    cli_csr_commands,          cli_account_commands,    cli_admin_commands,  cli_store_commands,
    cli_account_view_commands, cli_backup_commands,     cli_notify_commands, cli_dns_commands,
    cli_replication_commands,  cli_power_commands,      cli_move_commands,   cli_recipe_commands};

static int files_seen;

static int count_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)flag;
    (void)ftw;
    files_seen++;
    return 0;
}

#define TEXT_AT 37 /* the column of texts */

/* Each option has a text in its line, or, where that is full, in the next one; returns how many. */
static int check_lines(const char *name, const char *text)
{
    int options = 0;
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t len = strcspn(line, "\n");
        if (len < 4 || strncmp(line, "  -", 3) != 0)
            continue;
        const char *next = line + len + 1;
        bool here = len > TEXT_AT && line[TEXT_AT - 1] == ' ' && line[TEXT_AT] != ' ';
        bool below = strspn(next, " ") == TEXT_AT && next[TEXT_AT] != '\n';
        options++;
        if (!here && !below)
            fail_msg("%s: no text for the option in: %.*s", name, (int)len, line);
    }
    return options;
}

static void every_option_has_a_text(void **state)
{
    (void)state;
    int commands = 0, options = 0;
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct cli_command *c = tables[t]; c->name != NULL; c++, commands++) {
            const char *space = strchr(c->name, ' ');
            CM_AUTO_STR first = cm_strndup(c->name, space ? (size_t)(space - c->name) : 99);
            struct said *said =
                space ? RUN(&place, first, space + 1, "--help") : RUN(&place, first, "--help");
            assert_int_equal(said->status, CLI_OK);
            assert_string_equal(said->err, "");
            assert_has(said->out, c->help);
            options += check_lines(c->name, said->out);
        }
    assert_true(commands > 60);
    assert_true(options > 100);
    files_seen = 0;
    assert_int_equal(nftw(place.root, count_one, 16, FTW_PHYS), 0);
    assert_int_equal(files_seen, 4); /* the directory, and what was said: no command did anything */
}

static void options_are_told_with_their_values(void **state)
{
    (void)state;
    struct said *said = RUN(&place, "request", "--help");
    assert_has(said->out, "\n  -d, --domain NAME                  host name as typed");
    assert_has(said->out, "\n  --wait                             follow it until");
    assert_has(said->out, "\n  --key-type P-256|P-384|RSA-2048|RSA-3072|RSA-4096\n"
                          "                                     kind of key\n");
    said = RUN(&place, "help", "account", "export");
    assert_has(said->out, "--recovery  ");
    assert_has(said->out, "of at least 12 characters");
    said = RUN(&place, "account", "import", "--help"); /* the same option, another text */
    assert_has(said->out, "passphrase of an encrypted key");
    assert_null(strstr(said->out, "at least 12"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_option_has_a_text, setup, teardown),
        cmocka_unit_test_setup_teardown(options_are_told_with_their_values, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
