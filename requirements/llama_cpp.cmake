# What llama-cpp-python's build is told beyond its own options: leave out llama.cpp's "common" library (argument
# parsing, HTTP downloads, chat parsers for its command-line tools). Paddock doesn't call it, and it is two thirds of
# the compile. The binding's CMakeLists.txt forces it on in the cache; a normal variable set later hides that one.
# CMake includes this file right after llama.cpp's project(), through CMAKE_PROJECT_llama.cpp_INCLUDE.
set(LLAMA_BUILD_COMMON OFF)
