/* list, show: credentials for people, and as JSON. */
#include "certmgr/cli/cmd_credential.h"

#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"

#define LIST_MAX 100000

/* By host name there is a row for each name, by server one for each server: it stands in the row.
 */
static void print_row(const char *view, const json_t *c)
{
    const json_t *names = cm_json_arr(c, "host_names");
    const char *first = json_string_value(json_array_get(names, 0));
    const char *key = cm_json_str_or(c, "key", "");
    bool server = strcmp(view, "server") == 0;
    char more[32] = "";
    if (strcmp(view, "host") == 0 && *key)
        first = key;
    if (json_array_size(names) > 1)
        snprintf(more, sizeof(more), " (+%zu)", json_array_size(names) - 1);
    printf("%-26s  %-10s  %-6s  %-24s  %s%s%s%s\n", cm_json_str_or(c, "id", ""),
           cm_json_str_or(c, "status", ""), cm_json_str_or(cm_json_obj(c, "health"), "color", "-"),
           cm_json_str_or(c, "not_after", "-"), server ? key : "", server ? "  " : "",
           first != NULL ? first : "", more);
}

int cli_credential_list(struct cli *cli)
{
    struct cli_option options[] = {{.name = "--view"}, {.name = NULL}};
    CM_AUTO_JSON all = json_array();
    char after[1024] = ""; /* base64 of an index key and an id */
    if (cli_options(cli, options) != 0 || cli->argc != 0)
        return CLI_USAGE;
    const char *view = cli_value(&options[0], "host");
    if (strspn(view, "abcdefghijklmnopqrstuvwxyz") != strlen(view))
        return cli_usage(cli, "--view takes host, expiry, status or server");
    for (size_t page = 0; page < LIST_MAX; page++) {
        CM_AUTO_JSON reply = NULL;
        CM_AUTO_STR path =
            cm_asprintf("/credentials?view=%s%s%s", view, after[0] != '\0' ? "&after=" : "", after);
        int status = cli_api(cli, "GET", path, NULL, &reply);
        if (status != CLI_OK)
            return status;
        json_array_extend(all, cm_json_arr(reply, "credentials"));
        if (cm_json_str(reply, "next") == NULL ||
            cm_strcpy(after, sizeof(after), cm_json_str(reply, "next")) != 0)
            break;
    }
    if (cli->json) {
        CM_AUTO_JSON out = json_pack("{s:O}", "credentials", all);
        cli_print_json(out);
        return CLI_OK;
    }
    size_t i = 0;
    json_t *row = NULL;
    printf("%-26s  %-10s  %-6s  %-24s  %s\n", "ID", "STATUS", "HEALTH", "EXPIRES",
           strcmp(view, "server") == 0 ? "SERVER, HOST NAMES" : "HOST NAMES");
    json_array_foreach(all, i, row)
    {
        print_row(view, row);
    }
    return CLI_OK;
}

/* From when on servers serve it. */
static void print_activation(const json_t *activation)
{
    static const struct {
        const char *by, *why;
    } words[] = {{"delay", "as the account says"},
                 {"ocsp", "at the latest; the CA's OCSP responder is being asked"},
                 {"not_before", "it begins then"},
                 {"good", "the CA's OCSP responder said good"},
                 {"limit", "the CA's OCSP responder had not said good by then"}};
    const char *by = cm_json_str_or(activation, "by", "");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].by, by) == 0)
            printf("%-22s %s (%s)\n", "in force from:", cm_json_str_or(activation, "from", "-"),
                   words[i].why);
}

static void print_revocation(const json_t *revocation)
{
    const char *at = cm_json_str(revocation, "revoked_at");
    if (revocation == NULL)
        return;
    cli_line(at ? "revoked at:" : "revocation asked:",
             at ? at : cm_json_str(revocation, "asked_at"));
    cli_line("  afterwards:", at ? NULL : cm_json_str(revocation, "after"));
    printf("%-22s %lld\n", "  reason:", (long long)cm_json_int(revocation, "reason", 0));
    cli_line("  signed by:", cm_json_str(revocation, "signer"));
    cli_lines("  published by:", cm_json_arr(revocation, "published"));
}

/* The command that asks for a certificate without the names that failed; nobody runs it but a
 * person. */
static void print_without(const char *id, const json_t *c)
{
    const json_t *refused = cm_json_arr(cm_json_obj(c, "error"), "names");
    const json_t *names = cm_json_arr(c, "host_names_ascii");
    size_t i = 0, left = 0;
    json_t *name = NULL;
    json_array_foreach(names, i, name)
    {
        left += cm_json_has_str(refused, json_string_value(name)) ? 0 : 1;
    }
    cli_lines("  it was about:", refused);
    if (left == 0 || left == json_array_size(names))
        return;
    printf("%-22s certmgr change %s", "  without them:", id);
    json_array_foreach(names, i, name)
    {
        if (!cm_json_has_str(refused, json_string_value(name)))
            printf(" -d '%s'", json_string_value(name));
    }
    printf("\n");
}

/* Settings that cannot go together: said for as long as they stand. */
static void print_contradictions(const json_t *rows)
{
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(rows, i, row)
    {
        cli_line("contradiction:", cm_json_str(row, "text"));
        cli_line("  what to do:", cm_json_str(row, "fix"));
    }
}

static void print_view(const char *id, const json_t *view)
{
    const json_t *c = cm_json_obj(view, "credential");
    if (c == NULL)
        c = cm_json_obj(cm_json_obj(view, "request"), "fields");
    cli_line("status:", cli_credential_status(view));
    cli_line("health:", cm_json_str(cm_json_obj(c, "health"), "color"));
    cli_lines("  because:", cm_json_arr(cm_json_obj(c, "health"), "causes"));
    const char *next = cm_json_str(view, "next"); /* a sentence: "Next: renewal at …" */
    cli_line("next:", next != NULL && strncmp(next, "Next: ", 6) == 0 ? next + 6 : next);
    if (cm_json_obj(c, "csr_out") != NULL)
        cli_line("CSR:", "waits for its certificate: certmgr csr show, then csr upload");
    cli_lines("host names:", cm_json_arr(c, "host_names"));
    cli_lines("in the certificate:", cm_json_arr(c, "san"));
    cli_line("account:", cm_json_str(c, "account"));
    cli_line("key type:", cm_json_str(c, "key_type"));
    cli_lines("servers with access:", cm_json_arr(c, "servers"));
    cli_line("keyring file:", cm_json_str(c, "keyring_file"));
    cli_line("issuer:", cm_json_str(c, "issuer"));
    cli_line("not before:", cm_json_str(c, "not_before"));
    cli_line("not after:", cm_json_str(c, "not_after"));
    print_activation(cm_json_obj(c, "activation"));
    cli_line("SHA-256:", cm_json_str(c, "fingerprint"));
    print_contradictions(cm_json_arr(view, "contradictions"));
    print_revocation(cm_json_obj(c, "revocation"));
    cli_print_error(cm_json_obj(c, "error"));
    print_without(id, c);
    size_t i = 0;
    json_t *r = NULL;
    json_array_foreach(cm_json_arr(view, "receipts"), i, r)
    {
        printf("%-22s %s at %s\n", cm_json_str_or(r, "server", ""), cm_json_str_or(r, "state", ""),
               cm_json_str_or(r, "at", ""));
        cli_print_error(cm_json_obj(r, "error"));
    }
}

int cli_credential_show(struct cli *cli)
{
    struct cli_option options[] = {{.name = NULL}};
    CM_AUTO_JSON view = NULL;
    if (cli_options(cli, options) != 0 || cli->argc != 1)
        return CLI_USAGE;
    int status = cli_credential(cli, "GET", cli->argv[0], "", &view);
    if (status == CLI_OK && cli->json)
        cli_print_json(view);
    else if (status == CLI_OK)
        print_view(cli->argv[0], view);
    return status;
}
