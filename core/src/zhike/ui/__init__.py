"""What a module with pages imports: the call a page answers, what it answers with, and forms made from structs."""

from zhike.ui.call import Html, PageCall, Redirect
from zhike.ui.forms import Form, FormError, asked
from zhike.ui.submitting import submit
from zhike.ui.upload import Upload

__all__ = ["Form", "FormError", "Html", "PageCall", "Redirect", "Upload", "asked", "submit"]
