# What llama-cpp-python's build is told beyond its own options: leave out llama.cpp's "common" library (argument
# parsing, HTTP downloads, chat parsers for its command-line tools). Paddock doesn't call it, and it is two thirds of
# the compile. The binding's CMakeLists.txt forces it on in the cache; a normal variable set later hides that one.
# CMake includes this file right after llama.cpp's project(), through CMAKE_PROJECT_llama.cpp_INCLUDE.
set(LLAMA_BUILD_COMMON OFF)

# Images are built with GGML_BACKEND_DL: the kernels for each generation of processors, and those for GPUs, are libraries
# of their own, loaded when the process knows where it runs. The binding's CMakeLists.txt doesn't know their names, so
# llama.cpp's own rules install them: send them to where the other libraries are, and let them find those there.
if(GGML_BACKEND_DL)
    set(CMAKE_INSTALL_BINDIR llama_cpp/lib)
    set(CMAKE_INSTALL_RPATH "$ORIGIN")
endif()

# Nor does it know the one for OpenCL, which the others are linked with.
if(GGML_OPENCL)
    set(CMAKE_INSTALL_LIBDIR llama_cpp/lib)
    set(CMAKE_INSTALL_RPATH "$ORIGIN")
endif()
