"""What is fed with bytes that nobody should send, by hypothesis in the tests and by atheris under ``make fuzz``."""
