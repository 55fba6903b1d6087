/* The table of known CAs (certmgr/acme/presets.h) as API and forms show it. */
#pragma once

#include "base/core/json.h"
#include "certmgr/acme/presets.h"

/* [{name, title, directory, terms, test, …capabilities}] (owned; openapi.json, Preset). */
json_t *web_presets_json(void);
