"The command `ftkit`: its parsers and its commands."
