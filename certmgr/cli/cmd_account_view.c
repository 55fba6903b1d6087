/* account list, account show, account budget. */
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/cli/cli_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS       INT64_C(86400000)
#define BINDING_TEXT 64

/* ---- the binding (RFC 8555 7.3.4) ------------------------------------------------------------ */

static const char *days(int64_t count)
{
    return count == 1 ? "day" : "days";
}

/* "3 days old, 11 days left": whole days, both rounded down, so that "0 days left" is the last
 * one.  A CA that says no limit, and an account that is registered, have no end. */
static const char *binding_age(const json_t *eab, char out[BINDING_TEXT])
{
    int64_t now = cm_now_ms(), at = cm_json_time(eab, "at", 0);
    int64_t end = cm_json_time(eab, "ends_at", 0);
    int64_t age = at > 0 && now > at ? (now - at) / DAY_MS : 0;
    int n = snprintf(out, BINDING_TEXT, "%" PRId64 " %s old", age, days(age));
    if (end == 0)
        return out;
    int64_t left = (end - now) / DAY_MS;
    if (end <= now)
        snprintf(out + n, BINDING_TEXT - (size_t)n, ", too late");
    else
        snprintf(out + n, BINDING_TEXT - (size_t)n, ", %" PRId64 " %s left", left, days(left));
    return out;
}

static int cmd_list(struct cli *cli)
{
    CM_AUTO_JSON reply = NULL;
    int status = cli_get(cli, "/accounts", &reply);
    if (!reply)
        return status;
    size_t i = 0;
    json_t *a = NULL;
    printf("%-20s %-11s %-27s %s\n", "NAME", "STATUS", "BINDING", "DIRECTORY");
    json_array_foreach(cm_json_arr(reply, "accounts"), i, a)
    {
        const json_t *eab = cm_json_obj(a, "eab");
        char age[BINDING_TEXT];
        printf("%-20s %-11s %-27s %s\n", cm_json_str_or(a, "name", ""),
               cm_json_str_or(a, "status", ""), eab ? binding_age(eab, age) : "-",
               cm_json_str_or(a, "directory", ""));
    }
    return CLI_OK;
}

/* ---- one account --------------------------------------------------------------------------------
 */

static void print_number(const char *label, const json_t *object, const char *member)
{
    if (json_object_get(object, member))
        printf("%-22s %" PRId64 "\n", label, cm_json_int(object, member, 0));
}

static void print_contacts(const json_t *contacts)
{
    size_t i = 0;
    json_t *contact = NULL;
    json_array_foreach(contacts, i, contact)
    {
        const char *text = json_is_string(contact) ? json_string_value(contact) : "";
        cli_line(i == 0 ? "contacts:" : "", strncmp(text, "mailto:", 7) == 0 ? text + 7 : text);
    }
    if (i == 0)
        cli_line("contacts:", "none");
}

static void print_terms(const json_t *account)
{
    const json_t *agreed = cm_json_obj(account, "terms_agreed");
    const json_t *news = cm_json_obj(account, "new_terms");
    if (agreed)
        printf("%-22s %s by %s\n", "terms agreed:", cm_json_str_or(agreed, "at", "-"),
               cm_json_str_or(agreed, "by", "-"));
    else
        cli_line("terms agreed:", "no");
    cli_line("  terms:", cm_json_str(agreed, "url"));
    if (news)
        printf("%-22s since %s: certmgr account agree %s\n",
               "new terms:", cm_json_str_or(news, "at", "-"),
               cm_json_str_or(account, "name", "NAME"));
    cli_line("  page:", cm_json_str(news, "page"));
    cli_line("  terms:", cm_json_str(news, "url"));
}

static void print_binding(const json_t *eab)
{
    char age[BINDING_TEXT];
    if (!eab)
        return;
    printf("%-22s %s\n", "bound by:", cm_json_str_or(eab, "kid", "-"));
    printf("%-22s %s (%s)\n", "  since:", cm_json_str_or(eab, "at", "-"), binding_age(eab, age));
    if (json_object_get(eab, "key_bytes"))
        printf("%-22s %" PRId64 " bytes, %s%s\n", "  HMAC key:", cm_json_int(eab, "key_bytes", 0),
               cm_json_str_or(eab, "alg", "HS256"),
               cm_json_bool(eab, "two_readings", false)
                   ? "; it may be encoded twice, so both readings are tried"
                   : "");
    cli_line("  of use until:", cm_json_str(eab, "ends_at"));
}

static void print_keys(const json_t *account)
{
    size_t i = 0;
    json_t *former = NULL;
    cli_line("key:", cm_json_str(account, "thumbprint"));
    if (cm_json_obj(account, "rollover"))
        printf("%-22s since %s\n",
               "  being exchanged:", cm_json_str_or(cm_json_obj(account, "rollover"), "at", "-"));
    json_array_foreach(cm_json_arr(account, "former"), i, former)
    {
        printf("%-22s until %s, %s\n", "  former key:", cm_json_str_or(former, "at", "-"),
               cm_json_str_or(former, "kid", "never registered"));
        cli_line("  bound by:", cm_json_str(former, "eab_kid"));
    }
}

static void print_validation(const json_t *account)
{
    cli_line("challenge:", cm_json_str_or(account, "challenge", "http-01"));
    print_number("  HTTP port:", account, "http_port");
    print_number("  TLS port:", account, "tls_port");
    cli_line("  self-check:", cm_json_bool(account, "self_check", true) ? "yes" : "no");
    cli_line("activation:", cm_json_str(account, "activation"));
    print_number("  seconds:", account, "activation_s");
    cli_line("staging account:", cm_json_str(account, "staging"));
    cli_line("CA's own TLS roots:", cm_json_str(account, "ca_pem") ? "given" : NULL);
}

/* What is known of the CA beside what its directory says. */
static void print_preset(const json_t *preset)
{
    static const struct {
        const char *member, *label;
    } can[] = {{"ari", "renewal times of the CA (ARI)"},    {"profiles", "profiles"},
               {"rollover", "another key for the account"}, {"eab", "accounts are bound (EAB)"},
               {"billing", "sold by classes of names"},     {"test", "not trusted by browsers"}};
    const char *label = "known of the CA:";
    if (!preset)
        return;
    for (size_t i = 0; i < sizeof(can) / sizeof(can[0]); i++) {
        if (!cm_json_bool(preset, can[i].member, false))
            continue;
        cli_line(label, can[i].label);
        label = "";
    }
    if (cm_json_str(preset, "key_type"))
        printf("%-22s only %s keys\n", label, cm_json_str(preset, "key_type"));
    cli_line("  other keys:", cm_json_str(preset, "other_key"));
    cli_line("  dry runs:", cm_json_str_or(preset, "staging", "not at this CA"));
    printf("%-22s %" PRId64 " to %" PRId64 " addresses\n",
           "  contacts:", cm_json_int(preset, "contact_min", 0),
           cm_json_int(preset, "contact_max", 0));
    if (cm_json_int(preset, "validity_days", 0) > 0)
        printf("%-22s %" PRId64 " days\n",
               "  certificates live:", cm_json_int(preset, "validity_days", 0));
    if (cm_json_int(preset, "activation_s", 0) > 0)
        printf("%-22s %" PRId64 " s after the issue\n",
               "  OCSP knows them:", cm_json_int(preset, "activation_s", 0));
    if (cm_json_int(preset, "eab_days", 0) > 0)
        printf("%-22s %" PRId64 " days\n", "  bindings live:", cm_json_int(preset, "eab_days", 0));
    CM_AUTO_STR reasons = cm_json_dump(cm_json_arr(preset, "reasons"), NULL);
    cli_line("  revocation reasons:", reasons);
}

static void print_limits(const json_t *limits)
{
    size_t i = 0;
    json_t *row = NULL;
    printf("%-8s %12s  %-24s  %s\n", "LIMIT", "LEFT", "NEXT", "SUBJECT");
    json_array_foreach(limits, i, row)
    {
        char left[48];
        snprintf(left, sizeof(left), "%" PRId64 " of %" PRId64, cm_json_int(row, "left", 0),
                 cm_json_int(row, "of", 0));
        printf("%-8s %12s  %-24s  %s\n", cm_json_str_or(row, "limit", ""), left,
               cm_json_str_or(row, "next_at", "now"), cm_json_str_or(row, "subject", ""));
    }
}

static json_t *preset_of(const json_t *presets, const char *directory)
{
    size_t i = 0;
    json_t *preset = NULL;
    json_array_foreach(presets, i, preset)
    {
        if (strcmp(cm_json_str_or(preset, "directory", ""), directory) == 0)
            return preset;
    }
    return NULL;
}

static void print_account(const json_t *account, const json_t *preset, const json_t *budget)
{
    cli_line("account:", cm_json_str(account, "name"));
    cli_line("status:", cm_json_str(account, "status"));
    cli_line("CA:", cm_json_str(preset, "title"));
    cli_line("directory:", cm_json_str(account, "directory"));
    cli_line("account URL:", cm_json_str_or(account, "kid", "not registered yet"));
    print_contacts(cm_json_arr(account, "contacts"));
    print_terms(account);
    print_binding(cm_json_obj(account, "eab"));
    print_keys(account);
    print_validation(account);
    cli_print_error(cm_json_obj(account, "error"));
    print_preset(preset);
    if (json_array_size(cm_json_arr(budget, "limits")) > 0) {
        printf("\n");
        print_limits(cm_json_arr(budget, "limits"));
    }
}

/* The one name that the command takes, its path at the API with what is behind it (owned). */
static int path_of(struct cli *cli, const char *behind, char **ret)
{
    struct cli_option o[] = {{.name = NULL}};
    if (cli_options(cli, o) != 0 || cli->argc != 1 || cli_account_name(cli, cli->argv[0]) != CLI_OK)
        return CLI_USAGE;
    *ret = cm_asprintf("/accounts/%s%s", cli->argv[0], behind);
    return CLI_OK;
}

static int cmd_show(struct cli *cli)
{
    CM_AUTO_STR path = NULL;
    CM_AUTO_JSON account = NULL;
    CM_AUTO_JSON presets = NULL;
    CM_AUTO_JSON budget = NULL;
    int status = path_of(cli, "", &path);
    if (status == CLI_OK)
        status = cli_api(cli, "GET", path, NULL, &account);
    if (status == CLI_OK)
        status = cli_api(cli, "GET", "/presets", NULL, &presets);
    if (status == CLI_OK) {
        CM_AUTO_STR limits = cm_asprintf("%s/budget", path);
        status = cli_api(cli, "GET", limits, NULL, &budget);
    }
    if (status != CLI_OK)
        return status;
    json_t *preset =
        preset_of(cm_json_arr(presets, "presets"), cm_json_str_or(account, "directory", ""));
    if (cli->json) {
        CM_AUTO_JSON all =
            json_pack("{s:O?, s:O?, s:O?}", "account", account, "preset", preset, "budget", budget);
        cli_print_json(all);
        return CLI_OK;
    }
    print_account(account, preset, budget);
    return CLI_OK;
}

static int cmd_budget(struct cli *cli)
{
    CM_AUTO_STR path = NULL;
    CM_AUTO_JSON reply = NULL;
    int status = path_of(cli, "/budget", &path);
    if (status == CLI_OK)
        status = cli_api(cli, "GET", path, NULL, &reply);
    if (status != CLI_OK)
        return status;
    if (cli->json)
        cli_print_json(reply);
    else if (!cm_json_bool(reply, "known", false))
        printf("No limits of this CA are known.\n");
    else
        print_limits(cm_json_arr(reply, "limits"));
    return CLI_OK;
}

const struct cli_command cli_account_view_commands[] = {
    {"account list", "", "ACME accounts", cmd_list},
    {"account show", "NAME", "one of them, its binding, its CA", cmd_show},
    {"account budget", "NAME", "what is left of the CA's limits", cmd_budget},
    {0},
};
