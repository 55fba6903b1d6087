if(CM_HARDEN)
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
                        -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero
                        -fPIE)
    add_link_options(-pie -Wl,-z,relro,-z,now)
endif()
