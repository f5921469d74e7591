// The recipes. They change seldom, and are not part of the feed.

import { signal } from "@preact/signals";

import { ask, asProblem, type Problem } from "../api/http";
import type { Menu, Recipe } from "../api/types";

export const recipes = signal<Recipe[]>([]);
export const menuProblem = signal<Problem | null>(null);

export async function loadMenu(): Promise<void> {
  try {
    recipes.value = (await ask<Menu>("GET", "/v1/recipes")).recipes;
    menuProblem.value = null;
  } catch (error) {
    menuProblem.value = asProblem(error);
  }
}
