/*
 * Local configuration: /etc/certmgr/certmgr.conf (INI by libinih), below --root DIR when given.
 *
 * Unknown keys are errors with file, line and nearest match.  Paths, owners, modes and hook
 * commands exist here only, never in documents.
 */
#pragma once

#include "base/core/err.h"
#include "keyfile/agent.h"

#define CONFIG_PATH_MAX     1024
#define CONFIG_ARGV_MAX     32
#define CONFIG_TARGETS_MAX  KF_TARGETS_MAX
#define CONFIG_PROGRAMS_MAX 16

/* A hook: words, no shell. argv[0] == NULL = not configured. */
struct config_argv {
    char *argv[CONFIG_ARGV_MAX + 1];
};
struct config_target {
    struct kf_target files;
    struct config_argv test, reload;
    int hook_timeout_s; /* default 60 */
    char check[128];    /* "address:port" or "" */
};
/* [orders]: the manager's work at CAs, and commands around it. */
struct config_orders {
    struct config_argv before, after;
    int hook_timeout_s; /* default 60 */
    int open_max;       /* at a time; default and limit 128 (ENG_JOBS_MAX) */
};
/* [dns_exec NAME]: a program that writes TXT records for DNS accounts of kind exec. */
struct config_program {
    char name[64];
    struct config_argv command;
    int timeout_s; /* default 60 */
};
/* [notify]: who is told of failures, and how (manager). */
struct config_notify {
    char mail_to[1024];  /* addresses, separated by blanks; "" = no mail */
    char mail_from[256]; /* default certmgr@<name> */
    char smtp_url[300];
    char smtp_user[256], smtp_password_file[CONFIG_PATH_MAX];
    char webhook_url[1024], webhook_secret_file[CONFIG_PATH_MAX];
    char ca_file[CONFIG_PATH_MAX];
    char mail_language[8], webhook_language[8]; /* "en" or "ja" */
    int check_interval_s, remind_after_s, deploy_after_s, silent_after_s;
};
struct config {
    char root[CONFIG_PATH_MAX];      /* --root, or "" */
    char conf_file[CONFIG_PATH_MAX]; /* <root>/etc/certmgr/certmgr.conf */
    char state_dir[CONFIG_PATH_MAX]; /* <root>/var/lib/certmgr */
    char socket[CONFIG_PATH_MAX];    /* <root>/run/certmgr/certmgr.sock */
    char name[64];                   /* [server] name; default: host name */
    char listen_address[64];         /* [server] listen_address; default 0.0.0.0 */
    char challenge_address[64];      /* [server] challenge_address; default: listen_address */
    char ui_host[256];               /* [server] host: public host name in URLs; default: name */
    char tls_challenge_address[64]; /* [server] tls_challenge_address; default: challenge_address */
    int ui_port, replication_port, challenge_port; /* 8443, 8444, 80; 0 = no listener */
    int tls_challenge_port;                        /* 0 = no listener */
    char resolver[256];                            /* [network] resolver "address:port", or "" */
    int dns_port;                                  /* [network] dns_port, 53 but in a lab */
    bool lab_http;                                 /* [acme] lab_http */
    char origin[KF_ORIGINS_MAX]
               [280]; /* [acme] allowed_cas; default: Let's Encrypt live + staging */
    size_t origin_count;
    char front_user[64], agent_user[64]; /* [process] users when started as root */
    char socket_group[64];               /* [process] of the API's socket; "" = as it is made */
    char log_level[16];
    struct config_notify notify;
    struct config_orders orders;
    struct config_target target[CONFIG_TARGETS_MAX]; /* [target NAME] */
    size_t target_count;
    struct config_program program[CONFIG_PROGRAMS_MAX]; /* [dns_exec NAME] */
    size_t program_count;
};

/* root may be NULL.  A missing file is an error only when must_exist. */
int config_load(const char *root, bool must_exist, struct config *ret, struct cm_err *err);
void config_fini(struct config *config);
/* Derived places (into out): <state>/store, <state>/tls/cert.pem, key.pem. */
void config_store_dir(const struct config *config, char *out, size_t size);
void config_tls_files(const struct config *config, char *cert, char *key, size_t size);
/* What the agent needs of it. */
void config_agent(const struct config *config, struct kf_agent_config *ret);
