// DCMTK's own best at the questions of bench_values.py. usage: dcmtk_values QUESTION FILE COUNT; prints wall and CPU seconds.
//   contours  open the file from memory and get the points of every contour as doubles, as DCMTK offers them
//   by-hand   the same by a loop over the text with DCMTK's atof, which is faster and checks nothing
//   values    open it and get every value of every element, numbers as numbers
//   encode    write an object whose every element was put anew, Explicit VR Little Endian

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dcostrmb.h>
#include <dcmtk/dcmdata/dctk.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

static double sum = 0;  // so that nothing is left out

static void read(DcmFileFormat &object, const std::vector<char> &data) {
    DcmInputBufferStream input;
    input.setBuffer(data.data(), data.size());
    input.setEos();
    object.transferInit();
    if (object.read(input, EXS_Unknown, EGL_noChange, DCM_MaxReadLength).bad()) std::exit(1);
    object.transferEnd();
}

static void by_hand(DcmElement *element, OFVector<Float64> &values) {
    char *text = NULL;
    if (element->getString(text).bad()) std::exit(1);
    while (text != NULL) {
        values.push_back(OFStandard::atof(text));
        text = std::strchr(text, '\\');
        if (text != NULL) ++text;
    }
}

static void contours(DcmDataset &dataset, bool by_itself) {
    DcmSequenceOfItems *regions = NULL;
    if (dataset.findAndGetSequence(DCM_ROIContourSequence, regions).bad()) std::exit(1);
    for (unsigned long i = 0; i < regions->card(); ++i) {
        DcmSequenceOfItems *list = NULL;
        if (regions->getItem(i)->findAndGetSequence(DCM_ContourSequence, list).bad()) continue;
        DcmObject *item = NULL;
        while ((item = list->nextInContainer(item)) != NULL) {
            DcmElement *element = NULL;
            if (static_cast<DcmItem *>(item)->findAndGetElement(DCM_ContourData, element).bad()) std::exit(1);
            OFVector<Float64> values;
            if (!by_itself) by_hand(element, values);
            else if (static_cast<DcmDecimalString *>(element)->getFloat64Vector(values).bad()) std::exit(1);
            sum += values.back();
        }
    }
}

static void values(DcmItem &dataset) {
    DcmObject *object = NULL;
    while ((object = dataset.nextInContainer(object)) != NULL) {
        DcmElement *element = static_cast<DcmElement *>(object);
        if (element->ident() == EVR_SQ) {
            DcmObject *item = NULL;
            while ((item = static_cast<DcmSequenceOfItems *>(element)->nextInContainer(item)) != NULL)
                values(*static_cast<DcmItem *>(item));
        } else if (element->ident() == EVR_DS) {
            OFVector<Float64> numbers;
            if (static_cast<DcmDecimalString *>(element)->getFloat64Vector(numbers).good() && !numbers.empty())
                sum += numbers.back();
        } else if (element->isaString()) {
            OFString text;
            for (unsigned long i = 0; i < element->getVM(); ++i)
                if (element->getOFString(text, i).good()) sum += text.size();
        } else {
            OFString text;
            Float64 number;
            for (unsigned long i = 0; i < element->getVM() && element->getLength() < 4096; ++i)
                if (element->getFloat64(number, i).good() || element->getOFString(text, i).good()) sum += 1;
        }
    }
}

static DcmItem *anew(DcmItem &from, DcmItem *to) {
    DcmObject *object = NULL;
    while ((object = from.nextInContainer(object)) != NULL) {
        DcmElement *element = static_cast<DcmElement *>(object);
        const DcmTag tag = element->getTag();
        if (element->ident() == EVR_SQ) {
            DcmSequenceOfItems *sequence = new DcmSequenceOfItems(tag);
            DcmObject *item = NULL;
            while ((item = static_cast<DcmSequenceOfItems *>(element)->nextInContainer(item)) != NULL)
                sequence->append(anew(*static_cast<DcmItem *>(item), new DcmItem()));
            to->insert(sequence);
        } else if (element->isaString()) {
            char *text = NULL;
            element->getString(text);
            to->putAndInsertString(tag, text ? text : "");
        } else {
            to->insert(static_cast<DcmElement *>(element->clone()));
        }
    }
    return to;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    std::ifstream file(argv[2], std::ios::binary);
    std::vector<char> data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const int count = std::atoi(argv[3]);
    std::vector<char> out(data.size() * 2 + (1 << 20));
    DcmFileFormat original;
    DcmDataset made;
    const bool encodes = std::strcmp(argv[1], "encode") == 0;
    if (encodes) {
        read(original, data);
        original.getDataset()->loadAllDataIntoMemory();
        anew(*original.getDataset(), &made);
    }
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    for (int i = 0; i < count; ++i) {
        if (encodes) {
            DcmOutputBufferStream output(out.data(), out.size());
            made.transferInit();
            if (made.write(output, EXS_LittleEndianExplicit, EET_ExplicitLength, NULL).bad()) return 1;
            made.transferEnd();
            continue;
        }
        DcmFileFormat object;
        read(object, data);
        if (std::strcmp(argv[1], "contours") == 0) contours(*object.getDataset(), true);
        else if (std::strcmp(argv[1], "by-hand") == 0) contours(*object.getDataset(), false);
        else values(*object.getDataset());
    }
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    std::printf("%.9f %.6f %d\n", wall.count(), double(std::clock() - cpu) / CLOCKS_PER_SEC, sum != 0.5);
    return 0;
}
