# Compiler and linker flags of everything that is built: hardening, and a sanitizer. Included by the root's
# CMakeLists.txt.

set(ASSAY_SANITIZE "" CACHE STRING "Build with a sanitizer: address (with undefined), thread, or nothing")
set_property(CACHE ASSAY_SANITIZE PROPERTY STRINGS "" address thread)

# A daemon reads what others sent. When a bug of ours lets them write where they should not, the program ends instead of
# obeying. tests/tools/packaging/hardening_test.sh reads the programs for what is set here.
function(harden)
  add_compile_options(-fPIE -fstack-protector-strong -fstack-clash-protection)
  add_link_options(-pie LINKER:-z,relro,-z,now,-z,noexecstack)
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    add_compile_options(-fcf-protection=full)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    add_compile_options(-mbranch-protection=standard)
  endif()
  # The sanitizers have better checks of the same calls, and without optimization glibc has none.
  if(NOT ASSAY_SANITIZE AND NOT ASSAY_FUZZ)
    add_compile_options($<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
  endif()
endfunction()

function(sanitize)
  if(ASSAY_SANITIZE STREQUAL "address")
    set(FLAGS -fsanitize=address,undefined)
    # At -O2 the compiler takes much longer over all the checks than the tests take less.
    add_compile_options(-O1 -fno-sanitize-recover=undefined)
  elseif(ASSAY_SANITIZE STREQUAL "thread")
    set(FLAGS -fsanitize=thread)
  else()
    message(FATAL_ERROR "ASSAY_SANITIZE is address, thread or nothing, and not ${ASSAY_SANITIZE}")
  endif()
  add_compile_options(${FLAGS} -fno-omit-frame-pointer)
  add_link_options(${FLAGS})
endfunction()
