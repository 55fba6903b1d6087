/*
 * What each option of each command says in its help.  The manual page has the same words
 * (lint.manual); an option without a row fails tests/unit/cli/test_help.c.
 */
#include "certmgr/cli/cli_internal.h"

#include <stdio.h>
#include <string.h>

#define OPTION_WIDTH 34 /* columns of an option and its value */

static const struct row {
    const char *commands; /* separated by | */
    const char *option, *takes, *help;
} rows[] = {
    /* the fleet */
    {"init", "--recovery-key", "FILE", "write the recovery key there in place of showing it once"},
    {"join", "--again", NULL,
     "a server that was removed returns with the keys and the store it has"},
    {"server add", "--role", "standby", "it is to take the manager's place when that is needed"},
    {"server add|server role|manager promote", "--url", "URL",
     "where it listens for servers as the manager"},
    {"server add|server role|manager promote", "--ui-url", "URL",
     "where people reach its web interface as the manager"},
    {"server rotate", "--status", NULL, "tell how far it is"},
    {"server rotate", "--cancel", NULL,
     "give up, on the server itself, while the trust root does not list the new keys"},
    {"manager promote", "--lost", NULL, "the manager before is lost: remove it from the fleet"},
    {"trust threshold", "--signer", "NAME", "a server that is a root signer, too; may be repeated"},
    /* accounts */
    {"account add|account import", "--directory", "URL", "the CA's ACME directory"},
    {"account add|account import", "--contact", "MAIL",
     "address that the CA may write to; may be repeated"},
    {"account add|account import", "--agree-tos", NULL,
     "you agree to the CA's terms of service; without it no order is made"},
    {"account add|account import", "--ca-bundle", "FILE",
     "the CA's own TLS roots when they are not public"},
    {"account add", "--no-self-check", NULL,
     "answers to challenges are not looked at before the CA is told"},
    {"account add|account import", "--http-port", "N",
     "the port the CA validates HTTP-01 on (80 outside laboratories)"},
    {"account add", "--tls-port", "N", "the port the CA validates TLS-ALPN-01 on (443)"},
    {"account add", "--challenge", "http-01|tls-alpn-01",
     "how names without DNS account are proved (http-01)"},
    {"account add", "--activation", "at_once|delay|ocsp",
     "from when on servers serve a new certificate (as the CA is known to need it)"},
    {"account add", "--activation-seconds", "N",
     "so long after its issue; with ocsp at the latest"},
    {"account add", "--staging", "NAME",
     "your account for dry runs, at the staging of a CA that is not one of the presets"},
    {"account add|account rebind", "--eab-kid", "KID",
     "external account binding: the key identifier that the CA shows"},
    {"account add|account rebind", "--eab-hmac-file", "FILE",
     "its HMAC key (\"-\": standard input), used once and not kept"},
    {"account add|account rebind", "--eab-alg", "ALG",
     "what it signs with: HS256 (as usual), HS384 or HS512"},
    {"account import", "--passphrase-file", "F", "passphrase of an encrypted key"},
    {"account export", "--passphrase-file", "F",
     "the key is encrypted under this passphrase of at least 12 characters"},
    {"account export", "--recovery", NULL, "the key is sealed for the recovery key"},
    /* defaults of the form */
    {"settings", "--account", "NAME", "ACME account of new requests"},
    {"settings", "--key-type", "T", "kind of key of new requests"},
    {"settings", "--renew-days", "N", "days before the end at which certificates are renewed"},
    {"settings", "--server", "NAME", "server with access to the private key; may be repeated"},
    {"settings", "--keyring-file", "F", "keyring file of new requests"},
    {"settings", "--staging-first", "yes|no",
     "after two failures in a row the next attempt is made at the CA's staging (yes)"},
    /* fields of a credential */
    {"request|check|change", "--domain", "NAME",
     "host name as typed (Unicode too); up to 30, each with its own -d"},
    {"request|check|change|import", "--server", "SERVER",
     "server with access to the private key; may be repeated"},
    {"request|check|change", "--account", "A", "ACME account, when it is not the default"},
    {"request|check|change", "--key-type", "P-256|P-384|RSA-2048|RSA-3072|RSA-4096", "kind of key"},
    {"request|check|change|import", "--keyring-file", "F",
     "name of the keyring file on the servers"},
    {"request|check|change|import", "--target", "T", "target of certmgr.conf that the file is for"},
    {"request|check|change", "--renew-days", "N", "renew so many days before the end"},
    {"request|check|change", "--key-rollover", "keep|every_renewal",
     "is the key kept at renewals, or made anew?"},
    {"request|check|change", "--alternate-chain", "NAME",
     "root that the chain is to lead to, when the CA offers several"},
    {"request|check|change", "--challenge", "http-01|tls-alpn-01",
     "how names without DNS account are proved, when not as the account says"},
    {"request|check|change", "--profile", "NAME", "a profile of the CA, such as shortlived"},
    {"request|check|change", "--profile-required", "yes|no",
     "fail before anything is ordered when the CA does not list the profile"},
    {"request|check|change", "--fallback-account", "A",
     "account that makes the next attempt after three failed runs in a row; up to 3"},
    {"request|check|change", "--add-base", NULL,
     "the base of a wildcard, and a name without or with its www., are requested as well"},
    {"request|change", "--provider", "acme|manual", "manual: people bring the certificate"},
    {"request|import", "--exportable", NULL, "the key may leave as PKCS #12 (certmgr export)"},
    {"import", "--password-file", "F", "file whose first line opens the key or the PKCS #12 file"},
    {"import", "--credential", "ID", "the imported credential whose next certificate this is"},
    {"export", "--out", "FILE", "the PKCS #12 file that is written"},
    {"export", "--password-file", "F",
     "file whose first line protects it: 12 characters, of which 6 are different"},
    {"request", "--wait", NULL, "follow it until it is issued or failed"},
    {"request|renew", "--dry-run", NULL,
     "nothing is issued; the whole order runs at the staging of the same CA"},
    {"check", "--credential", "ID", "the credential that is to be changed"},
    {"check", "--probe-dns", NULL, "write and remove a TXT value by each DNS account that is used"},
    {"change", "--pause", NULL, "no renewal until it is resumed"},
    {"change", "--resume", NULL, "renewed again"},
    {"list", "--view", "host|expiry|status|server", "what the list is sorted by (host)"},
    {"log", "--follow", NULL, "read the live event stream until nothing moves any more"},
    {"report", "--hours", "N", "look back so many hours (24)"},
    {"csr new|renew", "--new-key", NULL, "for a new key"},
    {"renew", "--revoke", "superseded|keyCompromise",
     "with a new key: what it replaces is revoked when the new certificate serves everywhere"},
    {"revoke", "--reason", "R", "number or name of RFC 5280 (0, unspecified)"},
    {"revoke", "--key", NULL, "sign with the certificate's own key on a server with access"},
    {"revoke", "--after", "keep|archive|delete", "what becomes of the credential then (keep)"},
    /* DNS accounts */
    {"dns add|dns change", "--kind", "KIND", "rfc2136, recipe, route53, webhook, exec or manual"},
    {"dns add|dns change", "--provider", "RECIPE", "of kind recipe: which one"},
    {"dns add|dns change", "--option", "NAME=VALUE", "option of the kind; may be repeated"},
    {"dns add|dns change", "--secret-file", "NAME=FILE",
     "secret of the kind, never shown again; may be repeated"},
    {"dns add|dns change", "--domain", "DOMAIN",
     "names at or below it are proved by this account; may be repeated"},
    {"dns add|dns change", "--enable", NULL, "use it"},
    {"dns add|dns change", "--disable", NULL, "do not use it for the time being"},
    {"dns add|dns change", "--resolvers", "LIST",
     "look names up at these in place of the system's (\"address:port,...\")"},
    {"dns add|dns change", "--authoritative", NULL,
     "every server of the zone must show the record"},
    {"dns add|dns change", "--no-authoritative", NULL, "the servers of the zone are not asked"},
    {"dns add|dns change", "--ask", "LIST",
     "these resolvers must show the record, too (\"address:port,...\")"},
    {"dns add|dns change", "--wait", "S", "only wait so many seconds; 0: look again"},
    {"dns add|dns change", "--limit", "S",
     "give up after so many seconds (none: what the recipe says, else 600)"},
    {"dns remove", "--force", NULL, "leave the records that it wrote in the DNS"},
    {"dns test", "--name", "HOST", "host of the probe record (the first domain)"},
    {"dns recipe", "--confirm-host", "HOST",
     "add: this host may get secrets of accounts that use it; may be repeated"},
    {"dns manual", "--go-on", NULL, "they are there: look them up, then tell the CA"},
    /* store and replication */
    {"backup check", "--recovery-key", "KEYFILE", "does this recovery key open it?"},
    {"restore", "--recovery-key", "KEYFILE", "the recovery key, a file of mode 0600"},
    {"store stat", "--hash", NULL, "digests of what the store holds, to compare two servers"},
    {"upstream set", "--user", "U", "user at the hub"},
    {"upstream set", "--password-file", "F", "its password"},
    {"upstream set", "--cert", "F",
     "client certificate for the hub, in place of user and password or beside them"},
    {"upstream set", "--key", "F", "its private key"},
    {"upstream set", "--ca-file", "F", "CAs that the hub's certificate is checked against"},
    {"replication clear", "--all", NULL, "all that were refused"},
};

/* Is the word one of "a|b c|d"? */
static bool is_one_of(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, word, n) == 0 && (at[n] == '\0' || at[n] == '|'))
            return true;
    }
    return false;
}

static const struct row *row_of(const char *command, const char *option)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].option, option) == 0 && is_one_of(rows[i].commands, command))
            return &rows[i];
    return NULL;
}

void cli_help_options(const char *command, const struct cli_option *options)
{
    for (const struct cli_option *o = options; o->name != NULL; o++) {
        const struct row *row = row_of(command, o->name);
        char left[160];
        bool takes = row != NULL && row->takes != NULL;
        int width =
            snprintf(left, sizeof(left), "%s%s%s%s%s", o->short_name ? o->short_name : "",
                     o->short_name ? ", " : "", o->name, takes ? " " : "", takes ? row->takes : "");
        printf("  %s", left);
        printf(width > OPTION_WIDTH ? "\n  %*s %s\n" : "%*s %s\n",
               width > OPTION_WIDTH ? OPTION_WIDTH : OPTION_WIDTH - width, "",
               row != NULL ? row->help : "");
    }
}
