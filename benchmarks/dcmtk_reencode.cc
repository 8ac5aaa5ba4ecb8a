// DCMTK's own best at the question of bench_write.py: read a Part 10 file from memory, write it to memory in another
// transfer syntax. usage: dcmtk_reencode FILE TRANSFER-SYNTAX-UID COUNT; prints wall seconds, CPU seconds and bytes written.

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dcostrmb.h>
#include <dcmtk/dcmdata/dctk.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <vector>

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    std::ifstream file(argv[1], std::ios::binary);
    std::vector<char> data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const E_TransferSyntax target = DcmXfer(argv[2]).getXfer();
    const int count = std::atoi(argv[3]);
    std::vector<char> out(data.size() * 2 + (1 << 20));
    long written = 0;

    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    for (int i = 0; i < count; ++i) {
        DcmInputBufferStream input;
        input.setBuffer(data.data(), data.size());
        input.setEos();
        DcmFileFormat object;
        object.transferInit();
        if (object.read(input, EXS_Unknown, EGL_noChange, DCM_MaxReadLength).bad()) return 1;
        object.transferEnd();
        DcmOutputBufferStream output(out.data(), out.size());
        object.transferInit();
        if (object.write(output, target, EET_ExplicitLength, NULL).bad()) return 1;
        object.transferEnd();
        void *block;
        offile_off_t length;
        output.flushBuffer(block, length);
        written = length;
    }
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    std::printf("%.9f %.6f %ld\n", wall.count(), double(std::clock() - cpu) / CLOCKS_PER_SEC, written);
    return 0;
}
