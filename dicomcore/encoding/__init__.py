"""PS3.5: encoded bytes in and out. Sources and sinks, the element index, values, character sets, the writer."""
