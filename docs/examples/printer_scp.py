"""The status of a printer by N-GET (PS3.4 H.4.6): the attributes that are asked for, or all."""

from types import MappingProxyType

from dicomcore import AE, Dataset
from dicomcore.services import PLAIN_SYNTAXES, CommandField, Provider, Request, Response, ServiceContext

PRINTER, INSTANCE = "1.2.840.10008.5.1.1.16", "1.2.840.10008.5.1.1.17"
SUCCESS, ATTRIBUTE_LIST_ERROR, NO_SUCH_INSTANCE = 0x0000, 0x0107, 0x0112


class PrinterSCP:
    """Tells what ``printer``, a Dataset that its owner keeps up to date, says."""

    supported = MappingProxyType({PRINTER: PLAIN_SYNTAXES})
    commands = frozenset({CommandField.N_GET_RQ})

    def __init__(self, printer: Dataset) -> None:
        self.printer = printer

    def handle(self, request: Request, context: ServiceContext) -> Provider:
        if request.command.RequestedSOPInstanceUID != INSTANCE:
            yield Response(NO_SUCH_INSTANCE)
            return
        wanted = request.command.AttributeIdentifierList or tuple(self.printer.keys())
        found = Dataset()
        for tag in wanted:
            if tag in self.printer:
                found.add(self.printer[tag])
        missing = tuple(tag for tag in wanted if tag not in self.printer)
        if missing:
            yield Response(ATTRIBUTE_LIST_ERROR, found, {"AttributeIdentifierList": missing})
        else:
            yield Response(SUCCESS, found)


if __name__ == "__main__":
    status = Dataset({"PrinterStatus": "NORMAL", "PrinterStatusInfo": "NORMAL", "PrinterName": "FILM"})
    with AE("PRINTER").serve(11112, services=[PrinterSCP(status)]) as server:
        server.wait()
