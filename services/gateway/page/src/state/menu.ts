// The recipes. They change seldom, and are not part of the feed.

import { computed } from "@preact/signals";

import { ask } from "../api/http";
import type { Menu } from "../api/types";
import { Loaded } from "./loaded";

const menu = new Loaded<Menu>();
export const recipes = computed(() => menu.answer.value?.recipes ?? []);
export const menuProblem = menu.problem;

export function loadMenu(): Promise<void> {
  return menu.load(() => ask("GET", "/v1/recipes"));
}
