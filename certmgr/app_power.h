/* The port of web-ui/power.h over the fleet. */
#pragma once

#include "certmgr/config/config.h"
#include "certmgr/fleet/fleet.h"
#include "certmgr/fleet/rotate.h"
#include "web-ui/power.h"

struct app_power {
    struct fleet *fleet;
    struct cs_store *store;
    const struct config *config;
    struct rotate *rotate;
};
/* Begins to rotate keys where that was asked for; opts are of this server. */
void app_power_init(struct app_power *power, const struct rotate_opts *opts);
/* power is borrowed for as long as the port is used. */
struct web_power app_power_port(struct app_power *power);
