/* One line per fact on stderr: time, level, process role, component, object, message. */
#pragma once

#include "base/core/err.h"

enum cm_level { CM_LOG_DEBUG, CM_LOG_INFO, CM_LOG_WARN, CM_LOG_ERROR };

/* Process name shown in every line ("front", "agent", …); copied.  Level: lines below are dropped.
 */
void cm_log_init(const char *process, enum cm_level level);
/* component: module name; object: "credential:…" or NULL.  Control bytes in the message are
 * escaped, so text from CA or peer cannot forge lines.  Never pass key material or tokens. */
void cm_log(enum cm_level level, const char *component, const char *object, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Logs an error object as one line; CM_EFULL once a minute, with the number of those left out. */
void cm_log_err(enum cm_level level, const char *component, const struct cm_err *err);
/* Parses "debug|info|warn|error"; returns 0 or CM_EINVAL. */
int cm_level_parse(const char *text, enum cm_level *ret);
