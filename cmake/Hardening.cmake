if(CM_HARDEN)
    include(CheckCCompilerFlag)
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
                        -fstack-clash-protection -fcf-protection -fPIE)
    # clang 14 knows the flag only behind another one.
    check_c_compiler_flag(-ftrivial-auto-var-init=zero CM_HAVE_AUTO_INIT)
    if(CM_HAVE_AUTO_INIT)
        add_compile_options(-ftrivial-auto-var-init=zero)
    endif()
    add_link_options(-pie -Wl,-z,relro,-z,now)
endif()
