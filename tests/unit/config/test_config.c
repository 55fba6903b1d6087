/* The configuration file: values, ranges, messages with file, line and nearest match. */
#include "base/core/mem.h"
#include "certmgr/config/config.h"
#include "certmgr/config/config_items.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/certmgr-config-XXXXXX";

static void write_conf(const char *text)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/etc/certmgr/certmgr.conf", root);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int load(const char *text, struct config *config, struct cm_err *err)
{
    write_conf(text);
    return config_load(root, true, config, err);
}

static void test_defaults(void **state)
{
    struct config c;
    (void)state;
    assert_int_equal(load("[server]\nname = web1\n", &c, NULL), 0);
    assert_string_equal(c.name, "web1");
    assert_string_equal(c.listen_address, "0.0.0.0");
    assert_string_equal(c.challenge_address, "0.0.0.0");
    assert_string_equal(c.ui_host, "web1");
    assert_int_equal(c.ui_port, 8443);
    assert_int_equal(c.replication_port, 8444);
    assert_int_equal(c.challenge_port, 80);
    assert_string_equal(c.tls_challenge_address, "0.0.0.0");
    assert_int_equal(c.tls_challenge_port, 0);
    assert_int_equal(c.origin_count, 4);
    assert_int_equal(c.target_count, 0);
    assert_false(c.lab_http);
    assert_int_equal(c.dns_port, 53);
    assert_true(strncmp(c.state_dir, root, strlen(root)) == 0);
    config_fini(&c);
}

static void test_programs(void **state)
{
    struct config c;
    (void)state;
    assert_int_equal(load("[dns_exec Zones]\ncommand = /opt/dns/hook --zone x\ntimeout = 7\n"
                          "[dns_exec other]\ncommand = /bin/true\n",
                          &c, NULL),
                     0);
    assert_int_equal(c.program_count, 2);
    assert_string_equal(c.program[0].name, "Zones");
    assert_string_equal(c.program[0].command.argv[1], "--zone");
    assert_null(c.program[0].command.argv[3]);
    assert_int_equal(c.program[0].timeout_s, 7);
    assert_int_equal(c.program[1].timeout_s, 60);
    config_fini(&c);
}

static void test_values(void **state)
{
    struct config c;
    struct cm_err err = CM_ERR_INIT;
    struct kf_agent_config agent;
    (void)state;
    int rv =
        load("[server]\nname = web1\nlisten_address = 127.0.0.9\nui_port = 0\n"
             "challenge_address = 127.0.0.10\nchallenge_port = 8480\ntls_challenge_port = 8481\n"
             "[acme]\nallowed_cas = https://a.example https://b.example:14000\n"
             "[target nginx]\ndirectory = /srv/tls\nformats = pem\nmode = 0640\n"
             "reload = /usr/sbin/nginx -s\n reload\nhook_timeout = 5\ncheck = 127.0.0.9:443\n"
             "[orders]\nbefore = /usr/sbin/nft add\n element\nafter = /bin/true\n",
             &c, &err);
    assert_string_equal(err.what, "");
    assert_int_equal(rv, 0);
    assert_string_equal(c.ui_host, "127.0.0.9");
    assert_int_equal(c.ui_port, 0);
    assert_string_equal(c.challenge_address, "127.0.0.10");
    assert_int_equal(c.challenge_port, 8480);
    assert_string_equal(c.tls_challenge_address, "127.0.0.10");
    assert_int_equal(c.tls_challenge_port, 8481);
    assert_int_equal(c.origin_count, 2);
    assert_string_equal(c.origin[1], "https://b.example:14000");
    assert_int_equal(c.target_count, 1);
    assert_string_equal(c.target[0].files.name, "nginx");
    assert_false(c.target[0].files.kyr);
    assert_true(c.target[0].files.pem);
    assert_int_equal(c.target[0].files.mode, 0640);
    assert_string_equal(c.target[0].reload.argv[0], "/usr/sbin/nginx");
    assert_string_equal(c.target[0].reload.argv[2], "reload");
    assert_null(c.target[0].reload.argv[3]);
    assert_int_equal(c.target[0].hook_timeout_s, 5);
    assert_string_equal(c.orders.before.argv[2], "element");
    assert_string_equal(c.orders.after.argv[0], "/bin/true");
    assert_int_equal(c.orders.hook_timeout_s, 60);
    assert_int_equal(c.orders.open_max, 128);
    config_agent(&c, &agent);
    assert_int_equal(agent.target_count, 1);
    assert_string_equal(agent.target[0].directory, "/srv/tls");
    assert_int_equal(agent.origin_count, 2);
    config_fini(&c);
}

static void test_notify(void **state)
{
    struct config c;
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    assert_int_equal(load("[server]\nname = web1\n", &c, NULL), 0);
    assert_string_equal(c.notify.mail_to, "");
    assert_string_equal(c.notify.mail_from, "certmgr@web1");
    assert_string_equal(c.notify.smtp_url, "smtp://127.0.0.1:25");
    assert_string_equal(c.notify.mail_language, "en");
    assert_string_equal(c.notify.webhook_language, "en");
    assert_int_equal(c.notify.check_interval_s, 60);
    assert_int_equal(c.notify.remind_after_s, 86400);
    assert_int_equal(c.notify.deploy_after_s, 900);
    assert_int_equal(c.notify.silent_after_s, 86400);
    config_fini(&c);
    int rv = load("[notify]\nmail_to = a@example.com b@example.com\n  c@example.com\n"
                  "mail_from = cm@example.com\nsmtp_url = smtps://relay.example:465\n"
                  "smtp_user = cm\nsmtp_password_file = /etc/certmgr/smtp\n"
                  "webhook_url = https://hook.example/x\nwebhook_secret_file = /etc/certmgr/hook\n",
                  &c, &err);
    assert_string_equal(err.what, "");
    assert_int_equal(rv, 0);
    assert_string_equal(c.notify.mail_to, "a@example.com b@example.com c@example.com");
    assert_string_equal(c.notify.mail_from, "cm@example.com");
    assert_string_equal(c.notify.smtp_password_file, "/etc/certmgr/smtp");
    assert_string_equal(c.notify.webhook_url, "https://hook.example/x");
    config_fini(&c);
}

/* Everything that c-ares takes. */
static void test_resolver(void **state)
{
    static const char *const good[] = {"192.0.2.1",        "192.0.2.1:5353",
                                       "2001:db8::1",      "[2001:db8::1]",
                                       "[2001:db8::1]:53", "192.0.2.1:53,[::1]:53,192.0.2.2"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct config c;
        CM_AUTO_STR text = cm_asprintf("[network]\nresolver = %s\n", good[i]);
        assert_int_equal(load(text, &c, NULL), 0);
        assert_string_equal(c.resolver, good[i]);
        config_fini(&c);
    }
}

struct refusal {
    const char *text, *expected;
};

static const struct refusal refusals[] = {
    {"[server]\nui_prot = 1\n",
     "line 2: unknown setting \"ui_prot\" in [server]; did you mean \"ui_port\"?"},
    {"[server]\nui_port = 70000\n", "from 0 to 65535"},
    {"[server]\nui_port = 12x\n", "from 0 to 65535"},
    {"[network]\n\nresolver = 1.2.3\n",
     "line 3: resolver: \"1.2.3\" is not the address of a server; write 192.0.2.1, "},
    {"[network]\nresolver = dns.example\n", "\"dns.example\" is not the address"},
    {"[network]\nresolver = 192.0.2.1:0\n", "\"192.0.2.1:0\" is not the address"},
    {"[network]\nresolver = 192.0.2.1:53:53\n", "\"192.0.2.1:53:53\" is not the address"},
    {"[network]\nresolver = 192.0.2.1,\n", "\"\" is not the address"},
    {"[network]\nresolver = 192.0.2.1, 192.0.2.2\n", "\" 192.0.2.2\" is not the address"},
    {"[network]\nresolver = [::1\n", "\"[::1\" is not the address"},
    {"[network]\nresolver = [::1]53\n", "\"[::1]53\" is not the address"},
    {"[network]\nresolver = [192.0.2.1]:53\n", "\"[192.0.2.1]:53\" is not the address"},
    {"[notify]\nmail_to = x\n", "line 2: mail_to: \"x\" is not a mail address; write name@"},
    {"[notify]\nmail_to = a@example.com\n  b@\n", "line 3: mail_to: \"b@\" is not a mail address"},
    {"[notify]\nmail_to = a@example.com,b@example.com\n", "separated by blanks"},
    {"[server]\nname = Web_1\n", "use 1 to 63 of a-z 0-9 . -"},
    {"[server]\nname = a\nname = b\n", "set twice"},
    {"[sever]\nname = a\n", "line 1: unknown section [sever]; did you mean [server]?"},
    {"[elsewhere]\nname = a\n", "unknown section [elsewhere]"},
    {"[server]\nname = a\n[sever]\n# why\n\nui_port = 1\n", "line 3: unknown section [sever]"},
    {"[server]\n[dns_exec a]\ncommand = /bin/true\n  [x]\n  y\n  [sever]\n[notify2]\n\nx = 1\n",
     "line 7: unknown section [notify2]; did you mean [notify]?"},
    {"[server]\n  [sever]\n\n  name = a\n", "line 2: unknown section [sever]"},
    {"name = a\n", "line 1: \"name\" stands in no section: write [server] above it"},
    {"[server\nname = a\n", "stands in no section"},
    {"rubbish\n", "line 1"},
    {"[acme]\nallowed_cas = http://ca.example\n", "not an https:// origin"},
    {"[acme]\nlab_http = maybe\n", "write yes or no"},
    {"[network]\ndns_port = 0\n", "dns_port"},
    {"[target x]\nformats = jks\n", "use kyr, pem or both"},
    {"[target x]\nmode = 0644\n", "never readable by others"},
    {"[target x]\nreload = nginx -s reload\n", "absolute path"},
    {"[target x]\nowner = root\n", "absolute directory"},
    {"[notify]\nsmtp_url = http://relay\n", "smtp_url is no smtp://"},
    {"[notify]\nsmtp_user = cm\n", "smtp_user needs smtp_password_file"},
    {"[notify]\nsmtp_password_file = secret\n", "smtp_password_file must be an absolute path"},
    {"[notify]\nmail_language = fr\n", "[notify] mail_language: write en or ja, not \"fr\""},
    {"[notify]\nwebhook_language =\n", "[notify] webhook_language: write en or ja"},
    {"[notify]\nwebhook_url = http://hook.example/\n", "webhook_url is no https:// URL"},
    {"[notify]\nwebhook_url = https://hook.example/\n", "webhook_url needs webhook_secret_file"},
    {"[notify]\ncheck_interval = 0\n", "from 1 to 3600"},
    {"[notify]\nmail_form = a@b\n", "did you mean \"mail_from\"?"},
    {"[target A B]\ndirectory = /x\n", "a target's name"},
    {"[dns_exec]\ncommand = /bin/true\n", "[dns_exec NAME]"},
    {"[dns_exec a/b]\ncommand = /bin/true\n", "[dns_exec NAME]"},
    {"[dns_exec a]\ncommand = true\n", "absolute path"},
    {"[dns_exec a]\ntimeout = 5\n", "full path"},
    {"[dns_exec a]\ncomand = /bin/true\n", "command"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct config c;
        struct cm_err err = CM_ERR_INIT;
        assert_int_not_equal(load(refusals[i].text, &c, &err), 0);
        if (strstr(err.what, refusals[i].expected) == NULL)
            fail_msg("\"%s\" does not contain \"%s\"", err.what, refusals[i].expected);
        assert_non_null(strstr(err.what, "certmgr.conf"));
        cm_err_fini(&err);
    }
}

static void test_long_line(void **state)
{
    struct config c;
    struct cm_err err = CM_ERR_INIT;
    char text[600] = "[target x]\nreload = /bin/true ";
    (void)state;
    memset(text + strlen(text), 'a', 300);
    assert_int_equal(load(text, &c, &err), CM_ELIMIT);
    assert_non_null(strstr(err.what, "line 2"));
    cm_err_fini(&err);
}

static void test_missing_file(void **state)
{
    struct config c;
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    assert_int_equal(config_load("/nonexistent-root", true, &c, &err), CM_ENOENT);
    cm_err_fini(&err);
    assert_int_equal(config_load("/nonexistent-root", false, &c, NULL), 0);
    config_fini(&c);
}

/* Every setting is described in the manual page, and the page describes no other. */
static void test_manual_page(void **state)
{
    static char text[65536];
    (void)state;
    FILE *f = fopen(CM_SOURCE_DIR "/man/certmgr.conf.5", "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    for (size_t i = 0; i < config_item_count(); i++) {
        char want[100];
        snprintf(want, sizeof(want), "\n.B %s\n", config_item_at(i)->key);
        if (strstr(text, want) == NULL)
            fail_msg("man/certmgr.conf.5 lacks %s", config_item_at(i)->key);
    }
    size_t described = 0;
    for (const char *p = text; (p = strstr(p, "\n.TP\n.B ")) != NULL; p++)
        described++;
    assert_int_equal(described, config_item_count());
}

static int set_up(void **state)
{
    char path[200];
    (void)state;
    if (mkdtemp(root) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/etc", root);
    if (mkdir(path, 0700) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/etc/certmgr", root);
    return mkdir(path, 0700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_programs),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_line),   cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_manual_page), cmocka_unit_test(test_notify),
        cmocka_unit_test(test_resolver),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
