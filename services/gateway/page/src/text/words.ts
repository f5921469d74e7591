// The words of the browser's language.

import { en, type Words } from "./en";
import { es } from "./es";

export const words: Words = navigator.language.toLowerCase().startsWith("es") ? es : en;
