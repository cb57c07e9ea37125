# Compiler and linker flags of everything that is built. Included by the root's CMakeLists.txt.

set(ASSAY_SANITIZE "" CACHE STRING "Build with a sanitizer: address (with undefined), thread, or nothing")
set_property(CACHE ASSAY_SANITIZE PROPERTY STRINGS "" address thread)

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
