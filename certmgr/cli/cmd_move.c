/*
 * import, export: a credential's key from and to a file.
 *
 * The key is in the clear in the key agent alone: this command seals the file's bytes, or the
 * password of the file that is to be made, with the agent's public key, which it reads from the
 * agent's own directory, and the server's front carries what it cannot open.
 */
#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/cli/cli_internal.h"
#include "keyfile/handover.h"
#include "keyfile/p12.h"

#include <stdio.h>
#include <string.h>

#define IDENTITY_MAX (16u << 10)
#define PASSWORD_MAX (4u << 10)

static int told(const struct cli *cli, struct cm_err *err)
{
    int status = cli_error(cli, err);
    cm_err_fini(err);
    return status;
}

/* The agent's seal key (SPKI, base64). */
static int read_seal(const struct cli *cli, char **ret, struct cm_err *err)
{
    CM_AUTO_STR path = cm_asprintf("%s/agent/identity.json", cli->config.state_dir);
    CM_AUTO_JSON identity = NULL;
    char *text = NULL;
    size_t len = 0;
    int rc = cm_file_read(path, IDENTITY_MAX, &text, &len, err);
    if (rc == 0)
        rc = cm_json_parse(text, len, &identity, err);
    cm_free(text);
    const char *seal = cm_json_str(identity, "seal");
    if (rc == 0 && !seal)
        rc = cm_fail(err, CM_EMALF, "%s names no seal key", path);
    if (rc != 0) {
        cm_wrap(err, rc, "the key agent's public key cannot be read");
        cm_err_hint(err, "Give the command as root, or as the user who may read %s", path);
        return rc;
    }
    *ret = cm_strdup(seal);
    return 0;
}

/* The first line of a file; "" without one. */
static int read_password(const struct cli_option *option, char **ret, struct cm_err *err)
{
    char *text = NULL;
    size_t len = 0;
    *ret = NULL;
    if (option->count == 0) {
        *ret = cm_strdup("");
        return 0;
    }
    int rc = cm_file_read(option->value[0], PASSWORD_MAX, &text, &len, err);
    if (rc == 0) {
        *ret = cm_strndup(text, strcspn(text, "\r\n"));
        cm_free_secret(text, len);
    }
    return rc;
}

static void wipe(char *text)
{
    if (text)
        cm_free_secret(text, strlen(text));
}

/* {sealed} for the API; NULL: err says why. */
static json_t *hand_over(const struct cli *cli, const struct kf_handover *handover,
                         struct cm_err *err)
{
    CM_AUTO_STR seal = NULL;
    CM_AUTO_STR sealed = NULL;
    if (read_seal(cli, &seal, err) != 0 ||
        kf_handover_seal(handover, seal, cm_now_ms(), &sealed, err) != 0)
        return NULL;
    return json_pack("{s:s}", "sealed", sealed);
}

/* ---- import -----------------------------------------------------------------------------------
 */

enum { I_PASSWORD, I_SERVER, I_FILE, I_TARGET, I_CREDENTIAL, I_EXPORTABLE, I_END };

static int read_handover(struct cli *cli, const struct cli_option *o, json_t **ret,
                         struct cm_err *err)
{
    char *data = NULL, *password = NULL;
    size_t len = 0;
    int rc = cm_file_read(cli->argv[0], KF_HANDOVER_DATA_MAX, &data, &len, err);
    if (rc == 0)
        rc = read_password(&o[I_PASSWORD], &password, err);
    if (rc == 0) {
        struct kf_handover handover = {.kind = KF_HANDOVER_IMPORT,
                                       .credential = cli_value(&o[I_CREDENTIAL], "-"),
                                       .exportable = o[I_EXPORTABLE].count > 0,
                                       .password = password,
                                       .data = data,
                                       .len = len};
        *ret = hand_over(cli, &handover, err);
        rc = err->code;
    }
    if (data)
        cm_free_secret(data, len);
    wipe(password);
    return rc;
}

static int cmd_import(struct cli *cli)
{
    struct cli_option o[] = {[I_PASSWORD] = {.name = "--password-file"},
                             [I_SERVER] = {.name = "--server", .short_name = "-s"},
                             [I_FILE] = {.name = "--keyring-file"},
                             [I_TARGET] = {.name = "--target"},
                             [I_CREDENTIAL] = {.name = "--credential"},
                             [I_EXPORTABLE] = {.name = "--exportable", .flag = true},
                             [I_END] = {.name = NULL}};
    CM_AUTO_JSON body = NULL;
    CM_AUTO_JSON reply = NULL;
    struct cm_err err = CM_ERR_INIT;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    if (read_handover(cli, o, &body, &err) != 0)
        return told(cli, &err);
    for (size_t i = 0; i < o[I_SERVER].count; i++) {
        if (i == 0)
            cm_json_set(body, "servers", json_array());
        json_array_append_new(cm_json_arr(body, "servers"), json_string(o[I_SERVER].value[i]));
    }
    cm_json_set_str(body, "keyring_file", cli_value(&o[I_FILE], NULL));
    cm_json_set_str(body, "target", cli_value(&o[I_TARGET], NULL));
    cm_json_set_str(body, "credential", cli_value(&o[I_CREDENTIAL], NULL));
    int status = cli_api(cli, "POST", "/imports", body, &reply);
    if (status == CLI_OK && cli->json)
        cli_print_json(reply);
    if (status != CLI_OK || cli->json)
        return status;
    cli_print_notes(reply);
    printf("%s\n", cm_json_str_or(reply, "credential", ""));
    return CLI_OK;
}

/* ---- export -----------------------------------------------------------------------------------
 */

static int save(const struct cli *cli, const char *path, const json_t *reply)
{
    const char *text = cm_json_str_or(reply, "pkcs12", "");
    struct cm_err err = CM_ERR_INIT;
    uint8_t *der = NULL;
    size_t len = 0;
    int rc = cm_b64_decode(text, strlen(text), &der, &len);
    if (rc != 0 || len == 0)
        cm_fail(&err, CM_EMALF, "the server's answer holds no PKCS #12 file");
    else
        (void)cm_file_write(path, der, len, 0600, &err);
    cm_free(der);
    return err.code != 0 ? told(cli, &err) : CLI_OK;
}

static int cmd_export(struct cli *cli)
{
    struct cli_option o[] = {{.name = "--out"}, {.name = "--password-file"}, {.name = NULL}};
    CM_AUTO_JSON body = NULL;
    CM_AUTO_JSON reply = NULL;
    char *password = NULL;
    struct cm_err err = CM_ERR_INIT;
    if (cli_options(cli, o) != 0 || cli->argc != 1)
        return CLI_USAGE;
    if (o[0].count == 0 || o[1].count == 0)
        return cli_usage(cli, "say --out FILE and --password-file FILE");
    if (strspn(cli->argv[0], "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != 26 ||
        strlen(cli->argv[0]) != 26)
        return cli_usage(cli, "a credential is named by its 26-character id; see certmgr list");
    if (read_password(&o[1], &password, &err) == 0 && kf_p12_password_check(password, &err) == 0) {
        struct kf_handover handover = {
            .kind = KF_HANDOVER_EXPORT, .credential = cli->argv[0], .password = password};
        body = hand_over(cli, &handover, &err);
    }
    wipe(password);
    if (!body)
        return told(cli, &err);
    CM_AUTO_STR path = cm_asprintf("/credentials/%s/export", cli->argv[0]);
    int status = cli_api(cli, "POST", path, body, &reply);
    if (status == CLI_OK)
        status = save(cli, o[0].value[0], reply);
    if (status == CLI_OK && !cli->json)
        printf("%s: the key and its certificates are in %s\n", cli->argv[0], o[0].value[0]);
    return status;
}

const struct cli_command cli_move_commands[] = {
    {"import", "FILE [--password-file F] [-s SERVER…] [--credential ID] [--exportable]",
     "a key with its certificates (PEM, PKCS #12, .kyr)", cmd_import},
    {"export", "ID --out FILE --password-file F", "an exportable key as PKCS #12", cmd_export},
    {0},
};
